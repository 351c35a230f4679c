package router

import "parley/xmpp"

// An Inline is something that a client may have enabled together with the binding of its
// resource (XEP-0386 §3.1).
type Inline struct {
	Feature     string // as it is announced
	Space, Name string // of the element in <bind/>; no Name: with every <bind/>, and e is zero
	// Enable is called in the turn in which s is bound, before anything can reach it. What
	// it returns stands in <bound/>; nil: nothing.
	Enable func(t *Turn, s *Sender, e xmpp.Element) xmpp.Payload
}

// Inline returns what may be enabled with the binding of a resource.
func (r *Router) Inline() (features []string) {
	for _, f := range r.features {
		for _, in := range f.Inline {
			features = append(features, in.Feature)
		}
	}
	return features
}

// inline enables what a <bind/> asks for, each at most once; what nobody knows is left
// alone (XEP-0386 §3.2). A panic leaves the session as it is.
func (r *Router) inline(t *Turn, s *Sender, req xmpp.Element) (bound xmpp.Payload) {
	defer r.caught("binding", nil)
	if req.IsZero() {
		return nil
	}
	for _, f := range r.features {
		if f.Bound != nil {
			f.Bound(t, s)
		}
	}
	for _, f := range r.features {
		for _, in := range f.Inline {
			if e := req.Child(in.Space, in.Name); in.Name == "" || !e.IsZero() {
				bound = append(bound, in.Enable(t, s, e)...)
			}
		}
	}
	return bound
}
