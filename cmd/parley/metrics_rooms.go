package main

import "github.com/prometheus/client_golang/prometheus"

var (
	descRooms      = desc("rooms", "Rooms that exist.")
	descRoomsUsed  = desc("rooms_occupied", "Rooms that somebody is in.")
	descSeats      = desc("room_sessions", "Sessions in rooms: one that is in several counts once for each.")
	descRoomSaid   = desc("room_messages_total", "Messages that rooms have passed on to everybody.")
	descRoomHeard  = desc("room_deliveries_total", "The same, once for each session that got one.")
	descRoomJoins  = desc("room_joins_total", "Entries into rooms.")
	descGhosts     = desc("room_ghosts_total", "Sessions taken out of rooms since they could not be reached.")
	descRoomTold   = desc("room_notices_total", "Members told by push of what was said in rooms that they did not attend.")
	descRoomUntold = desc("room_notices_dropped_total", "Messages in rooms that nobody was told of since too many waited to be.")
	descRoomLimits = desc("room_refused_total", "Stanzas to rooms refused for a limit.")
)

// collectRooms reads the counters of rooms.
func (c *collector) collectRooms(ch chan<- prometheus.Metric) {
	value := func(d *prometheus.Desc, kind prometheus.ValueType, v int64) {
		ch <- prometheus.MustNewConstMetric(d, kind, float64(v))
	}
	there := c.s.rooms.Count()
	value(descRooms, prometheus.GaugeValue, int64(there.Rooms))
	value(descRoomsUsed, prometheus.GaugeValue, int64(there.Occupied))
	value(descSeats, prometheus.GaugeValue, int64(there.Sessions))
	s := c.s.rooms.Stats()
	value(descRoomSaid, prometheus.CounterValue, s.Messages.Load())
	value(descRoomHeard, prometheus.CounterValue, s.Deliveries.Load())
	value(descRoomJoins, prometheus.CounterValue, s.Joins.Load())
	value(descGhosts, prometheus.CounterValue, s.Ghosts.Load())
	value(descRoomTold, prometheus.CounterValue, s.Told.Load())
	value(descRoomUntold, prometheus.CounterValue, s.Untold.Load())
	value(descRoomLimits, prometheus.CounterValue, s.Refused.Load())
}
