package router

import (
	"slices"

	"parley/storage"
)

// An idList is a set of ids in their order. What is added is mostly the greatest, and what is
// taken out the least.
type idList []storage.ID

func (l idList) has(id storage.ID) bool {
	_, ok := slices.BinarySearch(l, id)
	return ok
}

func (l *idList) add(id storage.ID) {
	if n := len(*l); n == 0 || (*l)[n-1] < id {
		*l = append(*l, id)
		return
	}
	if i, ok := slices.BinarySearch(*l, id); !ok {
		*l = slices.Insert(*l, i, id)
	}
}

// remove takes an id out. An empty list holds no memory.
func (l *idList) remove(id storage.ID) {
	i, ok := slices.BinarySearch(*l, id)
	switch {
	case !ok:
	case len(*l) == 1:
		*l = nil
	case i == 0:
		*l = (*l)[1:]
	default:
		*l = slices.Delete(*l, i, i+1)
	}
}
