package c2s

import "sync/atomic"

// An outlet is where a connection's bytes go: a queue of its own, which is then that of the
// session it binds; or that of the session it resumes.
type outlet struct{ q atomic.Pointer[queue] }

func (o *outlet) queue() *queue { return o.q.Load() }

// pass has bytes go to another queue from now on.
func (o *outlet) pass(q *queue) { o.q.Store(q) }

func (o *outlet) write(p []byte) error         { return o.queue().write(p) }
func (o *outlet) flush() error                 { return o.queue().flush() }
func (o *outlet) begin(lead []byte)            { o.queue().begin(lead) }
func (o *outlet) open(header []byte) error     { return o.queue().open(header) }
func (o *outlet) hold()                        { o.queue().hold() }
func (o *outlet) release(first []byte) error   { return o.queue().release(first) }
func (o *outlet) end(last []byte, then func()) { o.queue().end(last, then) }
