package mam

// What is archived by default (XEP-0441 §2.1.1).
const (
	PolicyAlways = "always"
	PolicyRoster = "roster"
	PolicyNever  = "never"
)
