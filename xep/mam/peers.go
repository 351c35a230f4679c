package mam

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// peersRemembered is how many addresses' numbers are in memory; of others the disk is asked.
const peersRemembered = 50_000

// peers knows the numbers of bare addresses, as committed.
type peers struct {
	mu sync.Mutex // a leaf
	m  *simplelru.LRU[string, int64]
}

// peer is a bare address and its number.
type peer struct {
	bare   string
	number int64
}

func newPeers() *peers {
	m, _ := simplelru.NewLRU[string, int64](peersRemembered, nil) // fails for sizes below one only
	return &peers{m: m}
}

// get returns the number of an address, 0 where it is not known.
func (p *peers) get(bare string) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, _ := p.m.Get(bare)
	return n
}

func (p *peers) add(q peer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.m.Add(q.bare, q.number)
}
