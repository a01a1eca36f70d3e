module example.org/pay

go 1.19

require (
	example.org/clock v0.4.0
	example.org/money v1.2.3
)

// The team's own fork of the clock.
replace example.org/clock v0.4.0 => example.org/fork/clock v0.4.1
