package main

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	descLinks        = desc("s2s_connections", "Connections with other servers, by who has opened them.", "direction")
	descLinksIn      = desc("s2s_accepted_total", "Connections of other servers.")
	descLinksRefused = desc("s2s_refused_total", "Connections of other servers refused for a limit.")
	descLinksOut     = desc("s2s_opened_total", "Connections to other servers.")
	descReachFailed  = desc("s2s_failed_total", "Attempts to reach a domain that failed.")
	descLinksResumed = desc("s2s_resumed_total", "Streams with other servers that went on with another connection.")
	descLinksPaced   = desc("s2s_paced_total", "Times that a server was read later than it sent, for s2s.connection_rate.")
	descLinkErrors   = desc("s2s_stream_errors_total", "Streams with other servers ended with an error by this one.", "condition")
	descLinkStanzas  = desc("s2s_stanzas_total", "Stanzas from and to other servers.", "direction")
	descOutbox       = desc("s2s_waiting", "Stanzas that wait for their domain.")
	descUnacked      = desc("s2s_unacknowledged", "Stanzas that the other server may not have.")
	descDomainUp     = desc("s2s_domain_up", "Whether there is a stream to a domain; for the domains that most waits for, and the rest as how many are reached.", "domain")
	descDomainWaits  = desc("s2s_domain_waiting", "Stanzas that wait for a domain; for those that most waits for, and the rest together.", "domain")
)

// maxDomainMetrics is how many domains have figures of their own.
const maxDomainMetrics = 50

// otherDomains stands for all the others; no domain is called so.
const otherDomains = "(others)"

// collectS2S reads the counters of the door for other servers.
func (c *collector) collectS2S(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	st, f := c.s.s2s.Stats(), c.s.s2s.Figures(maxDomainMetrics)
	gauge(descLinks, float64(f.In), "in")
	gauge(descLinks, float64(f.Out), "out")
	count(descLinksIn, float64(st.Accepted.Load()))
	count(descLinksRefused, float64(st.Refused.Load()))
	count(descLinksOut, float64(st.Connected.Load()))
	count(descReachFailed, float64(st.Failed.Load()))
	count(descLinksPaced, float64(st.Paced.Load()))
	count(descLinksResumed, float64(st.Resumed.Load()))
	count(descLinkStanzas, float64(f.StanzasIn), "in")
	count(descLinkStanzas, float64(f.StanzasOut), "out")
	gauge(descOutbox, float64(f.Waiting))
	gauge(descUnacked, float64(f.Unacknowledged))
	st.StreamErrors.Range(func(k, v any) bool {
		count(descLinkErrors, float64(v.(*atomic.Int64).Load()), k.(string))
		return true
	})
	for _, d := range f.Domains {
		gauge(descDomainUp, float64(d.Up), d.Domain)
		gauge(descDomainWaits, float64(d.Waiting), d.Domain)
	}
	gauge(descDomainUp, float64(f.Others.Up), otherDomains)
	gauge(descDomainWaits, float64(f.Others.Waiting), otherDomains)
}
