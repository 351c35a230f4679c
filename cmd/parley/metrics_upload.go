package main

import "github.com/prometheus/client_golang/prometheus"

var (
	descSlots       = desc("upload_slots_total", "Addresses given out to upload a file to.")
	descSlotRefused = desc("upload_slots_refused_total", "Requests for such an address refused for a limit.")
	descStored      = desc("upload_files_total", "Files uploaded.")
	descReceived    = desc("upload_received_bytes_total", "Bytes of these.")
	descUpFailed    = desc("upload_failed_total", "Uploads that did not come to their end.")
	descServed      = desc("upload_served_total", "Requests for files that were there.")
	descSent        = desc("upload_sent_bytes_total", "Bytes of files sent.")
	descRemoved     = desc("upload_removed_total", "Files removed, by their owners or since their time was over.")
	descUploading   = desc("upload_receiving", "Files on their way in.")
	descProxied     = desc("file_proxy_streams_total", "Files carried from client to client.")
	descProxyBytes  = desc("file_proxy_bytes_total", "Bytes of these.")
	descProxyNo     = desc("file_proxy_refused_total", "Connections and streams refused for a limit, or since they spoke something else.")
	descProxyOpen   = desc("file_proxy_streams", "Files on their way.")
	descProxyWaits  = desc("file_proxy_waiting", "Connections that are not joined yet.")
	descServing     = desc("upload_sending", "Files on their way out.")
)

// collectFileProxy reads the counters of the relay.
func (c *collector) collectFileProxy(ch chan<- prometheus.Metric) {
	s := c.s.proxy.Stats()
	for d, v := range map[*prometheus.Desc]int64{descProxied: s.Streams.Load(), descProxyBytes: s.Bytes.Load(), descProxyNo: s.Refused.Load()} {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v))
	}
	ch <- prometheus.MustNewConstMetric(descProxyOpen, prometheus.GaugeValue, float64(s.Open.Load()))
	ch <- prometheus.MustNewConstMetric(descProxyWaits, prometheus.GaugeValue, float64(s.Waiting.Load()))
}

// collectUpload reads the counters of files.
func (c *collector) collectUpload(ch chan<- prometheus.Metric) {
	s := c.s.uploads.Stats()
	for d, v := range map[*prometheus.Desc]int64{
		descSlots: s.Slots.Load(), descSlotRefused: s.Refused.Load(), descStored: s.Stored.Load(), descReceived: s.Received.Load(),
		descUpFailed: s.Failed.Load(), descServed: s.Served.Load(), descSent: s.Sent.Load(), descRemoved: s.Removed.Load(),
	} {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v))
	}
	ch <- prometheus.MustNewConstMetric(descUploading, prometheus.GaugeValue, float64(s.Uploading.Load()))
	ch <- prometheus.MustNewConstMetric(descServing, prometheus.GaugeValue, float64(s.ServingNow.Load()))
}
