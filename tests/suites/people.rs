//! People: who is let in from elsewhere, what they may see and do, and how they are sent away.

mod local;
mod logins;
mod scope;
