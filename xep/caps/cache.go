package caps

import (
	"container/list"
	"time"
)

// Limits of what is remembered in memory. The table remembers more.
const (
	maxEntries = 4096
	maxMemory  = 8 << 20 // bytes
)

// A cache remembers what was proved, by digest. What was not used for the longest time goes
// when it is full. The zero cache is empty; its owner keeps others out.
type cache struct {
	entries map[digest]*list.Element
	order   list.List // of *entry, the last used first
	bytes   int
}

type entry struct {
	digest digest
	info   *Info
	noted  time.Time // when the table last heard of its use
}

// get returns what is known of the first of these digests that is known, and its entry.
func (c *cache) get(digests []digest) (*entry, bool) {
	for _, d := range digests {
		if e, ok := c.entries[d]; ok {
			c.order.MoveToFront(e)
			return e.Value.(*entry), true
		}
	}
	return nil, false
}

// put remembers what a digest was proved to be of.
func (c *cache) put(d digest, info *Info, now time.Time) {
	if c.entries == nil {
		c.entries = map[digest]*list.Element{}
	}
	if _, ok := c.entries[d]; ok {
		return // it can be nothing else
	}
	c.entries[d] = c.order.PushFront(&entry{d, info, now})
	c.bytes += info.size()
	for len(c.entries) > maxEntries || c.bytes > maxMemory {
		e := c.order.Remove(c.order.Back()).(*entry)
		delete(c.entries, e.digest)
		c.bytes -= e.info.size()
	}
}
