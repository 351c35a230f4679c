package main

import "github.com/prometheus/client_golang/prometheus"

var (
	descPublished     = desc("pubsub_published_total", "Items that users have published.")
	descNotifications = desc("pubsub_notifications_total", "Notifications of these, one for each client that was sent one.")
	descPubsubRefused = desc("pubsub_refused_total", "Requests to nodes refused for a limit.")
	descGuests        = desc("pubsub_forgotten_total", "Clients of other servers whose interests were not remembered, for a limit.")
)

// collectPubsub reads the counters of what users publish.
func (c *collector) collectPubsub(ch chan<- prometheus.Metric) {
	s := c.s.published.Stats()
	for d, v := range map[*prometheus.Desc]int64{
		descPublished: s.Published.Load(), descNotifications: s.Notifications.Load(),
		descPubsubRefused: s.Refused.Load(), descGuests: s.Guests.Load(),
	} {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v))
	}
}
