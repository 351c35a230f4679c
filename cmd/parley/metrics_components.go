package main

import "github.com/prometheus/client_golang/prometheus"

var (
	descComponent   = desc("component_connected", "Whether a component of the configuration is connected: 1 or 0.", "component")
	descCompIn      = desc("component_stanzas_in_total", "Stanzas received from a component.", "component")
	descCompOut     = desc("component_stanzas_out_total", "Stanzas sent to a component.", "component")
	descCompRefused = desc("component_refused_total", "Connections of components refused for a limit.")
	descCompFailed  = desc("component_handshakes_failed_total", "Handshakes of components with a wrong secret.")
)

// collectComponents reads the counters of components: of as many as the configuration names.
func (c *collector) collectComponents(ch chan<- prometheus.Metric) {
	count := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	for _, k := range c.s.components.Info() {
		connected := 0.0
		if k.Connected {
			connected = 1
		}
		ch <- prometheus.MustNewConstMetric(descComponent, prometheus.GaugeValue, connected, k.Domain)
		count(descCompIn, float64(k.In), k.Domain)
		count(descCompOut, float64(k.Out), k.Domain)
	}
	count(descCompRefused, float64(c.s.components.Stats().Refused.Load()))
	count(descCompFailed, float64(c.s.components.Stats().Failed.Load()))
}
