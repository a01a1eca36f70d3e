//! Kubernetes vouches for a pod: the API server is asked whose a service account's token is (TokenReview), and rules say
//! which environment that account's nodes are of. It is asked how the pod's node is labelled, too: a label says the role.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use evenkeel_runtime::files::{self, FileError};
use evenkeel_runtime::tls::{self, TlsError};
use evenkeel_runtime::{keys, label};
use http::{Method, Request, StatusCode, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long the API server may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// The largest answer.
const MAX_ANSWER: usize = 1024 * 1024;
/// Where the API server says which node the pod runs on (Kubernetes 1.30 and later).
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";

/// Which API server, and what its service accounts are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KubernetesConfig {
    /// Where the API server is: `https://HOST[:PORT]`.
    pub api: String,
    /// The roots (PEM) below which its certificate is believed.
    pub roots: PathBuf,
    /// The file with the collector's own token, whose account may create TokenReviews.
    pub token_file: PathBuf,
    /// The audience that agents' tokens must be made for.
    pub audience: String,
    /// The label of a Kubernetes node that says its role; empty: each agent says its own.
    pub role_label: String,
    /// Which environment a service account's nodes are of.
    pub accounts: Vec<Account>,
}

/// Which environment a service account's nodes are of.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Its namespace and name: `evenkeel/agent`.
    pub name: String,
    /// The environment.
    pub environment: String,
}

impl Default for KubernetesConfig {
    fn default() -> Self {
        let mounted = |name: &str| PathBuf::from("/var/run/secrets/kubernetes.io/serviceaccount").join(name);
        Self {
            api: "https://kubernetes.default.svc".to_owned(),
            roots: mounted("ca.crt"),
            token_file: mounted("token"),
            audience: "evenkeel".to_owned(),
            role_label: String::new(),
            accounts: Vec::new(),
        }
    }
}

impl KubernetesConfig {
    /// Whether it can be used with these environments. The error is a sentence.
    pub fn check(&self, environments: &[String]) -> Result<(), String> {
        for Account { name, environment } in &self.accounts {
            if !environments.contains(environment) {
                return Err(format!("kubernetes.accounts: there is no environment {environment:?}"));
            }
            if name.split('/').filter(|part| !part.is_empty()).count() != 2 {
                return Err(format!("kubernetes.accounts: {name:?} is not NAMESPACE/NAME"));
            }
        }
        if self.audience.is_empty() {
            return Err("kubernetes.audience: a token for any audience is not enough".to_owned());
        }
        place(&self.api).map(|_| ()).map_err(|why| format!("kubernetes.api: {why}"))
    }
}

/// Whom Kubernetes vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vouched {
    /// The account's rule, for the journal: `kubernetes:NAMESPACE/NAME`.
    pub by: String,
    /// The environment.
    pub environment: String,
    /// The node that the pod runs on, where Kubernetes says it.
    pub node: Option<String>,
}

/// Kubernetes does not vouch, or cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum KubernetesError {
    /// No account is configured.
    #[error("this collector takes no service accounts: its configuration names none")]
    NotConfigured,
    /// The token is not of this cluster, of another audience, or has ended.
    #[error("Kubernetes does not vouch for this token: {0}")]
    Refused(String),
    /// No rule is for this account.
    #[error("no environment is configured for the service account {0}")]
    Unknown(String),
    /// The API server did not answer as it should.
    #[error("the API server at {api} cannot be asked: {why}")]
    Unreached {
        /// Where.
        api: String,
        /// Why.
        why: String,
    },
    /// Its roots or the collector's own token.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its roots.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Asks the API server whose this token is.
pub async fn vouch(config: &KubernetesConfig, token: &str) -> Result<Vouched, KubernetesError> {
    if config.accounts.is_empty() {
        return Err(KubernetesError::NotConfigured);
    }
    let review = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": { "token": token, "audiences": [config.audience] },
    });
    let path = "/apis/authentication.k8s.io/v1/tokenreviews";
    vouched(config, &ask(config, Method::POST, path, review.to_string(), "create TokenReviews").await?)
}

/// The role of a Kubernetes node, as its label says; empty where it has none. `None`: labels do not say roles here.
pub async fn role(config: &KubernetesConfig, node: &str) -> Result<Option<String>, KubernetesError> {
    if config.role_label.is_empty() {
        return Ok(None);
    }
    // Part of a path from here on.
    if !label::is_label(node) {
        return Err(KubernetesError::Refused(format!("{node:?} is no name of a node")));
    }
    let path = format!("/api/v1/nodes/{node}");
    let answer = ask(config, Method::GET, &path, String::new(), "get nodes").await?;
    let said = answer["metadata"]["labels"][&config.role_label].as_str().unwrap_or_default();
    Ok(Some(if said.is_empty() { String::new() } else { label::from_host_name(said) }))
}

/// What the API server answers; `may` is what the collector's account needs for that.
async fn ask(
    config: &KubernetesConfig,
    method: Method,
    path: &str,
    body: String,
    may: &str,
) -> Result<Value, KubernetesError> {
    let unreached = |why: String| KubernetesError::Unreached { api: config.api.clone(), why };
    // Both are renewed by Kubernetes, so they are read each time.
    let roots = keys::read_certificates(&config.roots)?;
    let own = files::read(&config.token_file)?;
    let own =
        String::from_utf8(own).map_err(|_| unreached("the collector's own token is no text".to_owned()))?;
    let tls = tls::anonymous_client_http1(&roots)?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::AUTHORIZATION, format!("Bearer {}", own.trim()))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body))
        .map_err(|error| unreached(error.to_string()))?;
    match timeout(DEADLINE, call(config, &tls, request, may)).await {
        Ok(answer) => answer.map_err(unreached),
        Err(_) => Err(unreached(format!("no answer within {} s", DEADLINE.as_secs()))),
    }
}

async fn call(
    config: &KubernetesConfig,
    tls: &rustls::ClientConfig,
    mut request: Request<Body>,
    may: &str,
) -> Result<Value, String> {
    let (host, port) = place(&config.api)?;
    let authority = format!("{host}:{port}").parse().map_err(|_| format!("{host:?} is no host"))?;
    request.headers_mut().insert(header::HOST, authority);
    let tcp = TcpStream::connect((host.as_str(), port)).await.map_err(|error| error.to_string())?;
    let name = ServerName::try_from(host.clone()).map_err(|error| error.to_string())?;
    let connector = TlsConnector::from(Arc::new(tls.clone()));
    let stream = connector.connect(name, tcp).await.map_err(|error| error.to_string())?;
    let (mut client, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let connection = tokio::spawn(connection);
    let response = client.send_request(request).await.map_err(|error| error.to_string())?;
    let status = response.status();
    let body = axum::body::to_bytes(Body::new(response.into_body()), MAX_ANSWER).await;
    connection.abort();
    if status != StatusCode::CREATED && status != StatusCode::OK {
        return Err(format!("it answers {status}: may the collector's service account {may}?"));
    }
    let body = body.map_err(|error| error.to_string())?;
    serde_json::from_slice(&body).map_err(|error| format!("its answer is not JSON: {error}"))
}

fn vouched(config: &KubernetesConfig, answer: &Value) -> Result<Vouched, KubernetesError> {
    let status = &answer["status"];
    if status["authenticated"] != Value::Bool(true) {
        let why = status["error"].as_str().unwrap_or("it is not one of this cluster, or has ended");
        return Err(KubernetesError::Refused(why.to_owned()));
    }
    // An API server that knows no audiences says nothing of them: then the token was not made for us.
    let is_for_us = status["audiences"].as_array().is_some_and(|all| all.contains(&json!(config.audience)));
    if !is_for_us {
        return Err(KubernetesError::Refused(format!(
            "it was not made for the audience {}",
            config.audience
        )));
    }
    let user = status["user"]["username"].as_str().unwrap_or_default();
    let account = user.strip_prefix("system:serviceaccount:").map(|account| account.replacen(':', "/", 1));
    let account = account.ok_or_else(|| KubernetesError::Unknown(user.to_owned()))?;
    let Some(rule) = config.accounts.iter().find(|rule| rule.name == account) else {
        return Err(KubernetesError::Unknown(account));
    };
    let node = status["user"]["extra"][NODE_NAME][0].as_str().map(str::to_owned);
    Ok(Vouched { by: format!("kubernetes:{account}"), environment: rule.environment.clone(), node })
}

/// Host and port of `https://HOST[:PORT]`.
fn place(api: &str) -> Result<(String, u16), String> {
    let refuse = || format!("{api:?} is not https://HOST[:PORT]");
    let uri: http::Uri = api.parse().map_err(|_| refuse())?;
    if uri.scheme_str() != Some("https") || !matches!(uri.path(), "" | "/") {
        return Err(refuse());
    }
    let host = uri.host().ok_or_else(refuse)?.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok((host, uri.port_u16().unwrap_or(443)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> KubernetesConfig {
        let account = Account { name: "evenkeel/agent-prod".into(), environment: "prod".into() };
        KubernetesConfig { accounts: vec![account], ..KubernetesConfig::default() }
    }

    fn answer(user: &str, audiences: &[&str]) -> Value {
        json!({ "status": {
            "authenticated": true,
            "audiences": audiences,
            "user": { "username": user, "extra": { NODE_NAME: ["worker-3"] } },
        } })
    }

    /// Promise: only an account that is configured, vouched for by the cluster, with a token made for this collector, is
    /// let in, and only into its environment.
    #[test]
    fn only_who_is_vouched_for() {
        let agent = "system:serviceaccount:evenkeel:agent-prod";
        assert_eq!(
            vouched(&config(), &answer(agent, &["evenkeel"])).unwrap(),
            Vouched {
                by: "kubernetes:evenkeel/agent-prod".into(),
                environment: "prod".into(),
                node: Some("worker-3".into())
            }
        );
        let refused = |answer: &Value| vouched(&config(), answer).unwrap_err().to_string();
        assert_eq!(
            refused(&answer(agent, &["https://kubernetes.default.svc"])),
            "Kubernetes does not vouch for this token: it was not made for the audience evenkeel"
        );
        assert_eq!(
            refused(&answer("system:serviceaccount:default:default", &["evenkeel"])),
            "no environment is configured for the service account default/default"
        );
        assert_eq!(
            refused(&answer("system:node:worker-3", &["evenkeel"])),
            "no environment is configured for the service account system:node:worker-3"
        );
        assert_eq!(
            refused(&json!({ "status": { "error": "token expired" } })),
            "Kubernetes does not vouch for this token: token expired"
        );
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let environments = ["prod".to_owned()];
        assert_eq!(config().check(&environments), Ok(()));
        assert_eq!(config().check(&[]).unwrap_err(), "kubernetes.accounts: there is no environment \"prod\"");
        let api = KubernetesConfig { api: "http://k8s".into(), ..config() };
        assert_eq!(
            api.check(&environments).unwrap_err(),
            "kubernetes.api: \"http://k8s\" is not https://HOST[:PORT]"
        );
    }
}
