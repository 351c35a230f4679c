package router

// Crossing returns how many messages are known by provisional ids, for the tests.
func (r *Router) Crossing() int {
	r.crossings.mu.Lock()
	defer r.crossings.mu.Unlock()
	return len(r.crossings.m)
}

// Pins returns by how many an account is held in memory, for the tests.
func (a *Account) Pins() int32 { return a.pins.Load() }
