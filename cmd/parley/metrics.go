package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/pprof"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"parley/storage"
	"parley/xmpp"
)

// metrics is the operator's HTTP handler: /metrics, /healthz and /readyz.
func (s *server) metrics() http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), &collector{s})
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		// The process works if its database answers.
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		if _, err := s.accounts.List(ctx, s.cfg.Domains[0], "", 1); err != nil {
			http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		select {
		case <-s.ready:
			fmt.Fprintln(w, "ready")
		default:
			http.Error(w, "starting", http.StatusServiceUnavailable)
		}
	})
	if s.cfg.Metrics.Profiling {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	}
	return mux
}

// collector reads the counters of the house when Prometheus asks.
type collector struct{ s *server }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("parley_"+name, help, labels, nil)
}

var (
	descSessions    = desc("sessions", "Bound resources, those that wait to be resumed included.")
	descAsleep      = desc("sm_waiting_sessions", "Sessions without a connection that wait to be resumed.")
	descResumed     = desc("sm_resumed_total", "Sessions that went on with another connection.")
	descPaced       = desc("c2s_paced_total", "Times that a client was read later than it sent, for the budget of its account or address.")
	descNotResumed  = desc("sm_resumes_failed_total", "Sessions that clients wanted to go on with and that were not there.")
	descExpired     = desc("sm_expired_total", "Sessions that nobody came back to in time.")
	descAcksBack    = desc("sm_acknowledged_less_total", "Acknowledgements of less than before, which were ignored.")
	descConns       = desc("c2s_connections", "Connections of clients, logged in or not.")
	descWebSockets  = desc("c2s_websockets", "Of the connections of clients, those by WebSocket.")
	descBOSH        = desc("c2s_bosh_sessions", "Of the connections of clients, sessions of BOSH, whatever connections their requests come by.")
	descAccepted    = desc("c2s_accepted_total", "Connections accepted.")
	descRefused     = desc("c2s_refused_total", "Connections refused for a limit.")
	descLogins      = desc("c2s_logins_total", "Sessions opened.")
	descFailed      = desc("c2s_logins_failed_total", "Failed authentications.")
	descErrors      = desc("c2s_stream_errors_total", "Streams ended with an error by the server.", "condition")
	descStanzas     = desc("stanzas_total", "Stanzas received from clients.", "kind")
	descBounced     = desc("iq_errors_total", "IQ requests answered with an error by the server.")
	descUnknown     = desc("unknown_address_dropped_total", "Messages to addresses that do not exist which were dropped without an error, for limits.unknown_address_errors.")
	descCrossed     = desc("messages_unwritten_total", "Messages that had arrived before they were to be written, since they are in no archive.")
	descPanics      = desc("panics_total", "Panics that were caught. Each is a bug.")
	descQueueJobs   = desc("storage_queue_jobs", "Writes in the line.")
	descQueueBytes  = desc("storage_queue_bytes", "Bytes in the line.")
	descBatches     = desc("storage_batches_total", "Transactions.")
	descJobs        = desc("storage_jobs_total", "Writes in these transactions.")
	descJobsFailed  = desc("storage_jobs_failed_total", "Writes that failed.")
	descSlow        = desc("storage_slow_hooks_total", "Hooks that held up the postman for more than 10 ms.")
	descCommits     = desc("storage_commit_seconds", "Time from the beginning of a transaction to its commit.")
	descLog         = desc("storage_log_bytes", "Size of the write-ahead log.")
	descCheckpoints = desc("storage_checkpoints_total", "Times that the log could start anew.")
	descProofs      = desc("auth_proofs_total", "SCRAM proofs checked.")
	descTokens      = desc("auth_token_logins_total", "Logins with a token (XEP-0484).")
	descIssued      = desc("auth_tokens_issued_total", "Tokens given out to clients.")
	descHashed      = desc("auth_hashed_total", "Passwords hashed (PLAIN and new passwords).")
	descDelayed     = desc("auth_delayed_total", "Logins slowed down after failures.")
	descThrottled   = desc("auth_refused_total", "Logins refused after failures.")
)

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64) { ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	count := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	gauge(descSessions, float64(c.s.router.Sessions()))
	door := c.s.c2s.Stats()
	gauge(descConns, float64(door.Open.Load()))
	gauge(descWebSockets, float64(door.WebSockets.Load()))
	gauge(descBOSH, float64(door.BOSH.Load()))
	count(descAccepted, float64(door.Accepted.Load()))
	count(descRefused, float64(door.Refused.Load()))
	count(descLogins, float64(door.Logins.Load()))
	count(descFailed, float64(door.LoginsFailed.Load()))
	gauge(descAsleep, float64(c.s.c2s.Asleep()))
	count(descResumed, float64(door.Resumed.Load()))
	count(descPaced, float64(door.Paced.Load()))
	count(descNotResumed, float64(door.ResumesFailed.Load()))
	count(descExpired, float64(door.Expired.Load()))
	count(descAcksBack, float64(door.AcksBack.Load()))
	door.StreamErrors.Range(func(k, v any) bool {
		count(descErrors, float64(v.(*atomic.Int64).Load()), k.(string))
		return true
	})
	c.collectComponents(ch)
	c.collectRooms(ch)
	c.collectPubsub(ch)
	c.collectWeb(ch)
	c.collectUpload(ch)
	c.collectFileProxy(ch)
	c.collectS2S(ch)
	hall := c.s.router.Stats()
	for _, k := range []xmpp.Kind{xmpp.Message, xmpp.Presence, xmpp.IQ} {
		count(descStanzas, float64(hall.Stanzas[k].Load()), k.String())
	}
	count(descBounced, float64(hall.Refused.Load()))
	count(descUnknown, float64(hall.Unknown.Load()))
	count(descCrossed, float64(hall.Crossed.Load()))
	count(descPanics, float64(hall.Panics.Load()))
	st := c.s.store.Stats()
	gauge(descQueueJobs, float64(st.QueueJobs))
	gauge(descQueueBytes, float64(st.QueueBytes))
	gauge(descLog, float64(st.LogBytes))
	count(descBatches, float64(st.Batches))
	count(descJobs, float64(st.Jobs))
	count(descJobsFailed, float64(st.Failed))
	count(descSlow, float64(st.SlowHooks))
	count(descCheckpoints, float64(st.Checkpoints))
	ch <- histogram(st.Commits)
	a := c.s.auth.Stats()
	count(descProofs, float64(a.Proofs))
	count(descTokens, float64(a.Tokens))
	count(descIssued, float64(a.Issued))
	count(descHashed, float64(a.Hashed))
	count(descDelayed, float64(a.Delayed))
	count(descThrottled, float64(a.Refused))
}

func histogram(h storage.Histogram) prometheus.Metric {
	buckets := map[float64]uint64{}
	var sum uint64
	for i, n := range h.Counts {
		sum += n
		if i < len(h.Bounds) {
			buckets[h.Bounds[i].Seconds()] = sum
		}
	}
	return prometheus.MustNewConstHistogram(descCommits, sum, h.Sum.Seconds(), buckets)
}
