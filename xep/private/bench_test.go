package private_test

import (
	"fmt"
	"strconv"
	"testing"

	"parley/router/routertest"
)

// BenchmarkBookmark changes one bookmark of some, as an item: all three places are written.
func BenchmarkBookmark(b *testing.B) {
	for _, n := range []int{20, 500} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			a := publishing(b, b.TempDir(), &routertest.Directory{}).Connected(romeo)
			r := rooms{}
			for i := range n {
				r[fmt.Sprintf("room%d@conference.example.com", i)] = "Room " + strconv.Itoa(i)
			}
			a.Does(set(r.list()))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				a.Does(`<iq type='set' id='p'><pubsub xmlns='` + nsPubsub + `'><publish node='` + native + `'><item id='room0@conference.example.com'>` +
					`<conference xmlns='` + native + `' name='` + strconv.Itoa(i) + `'/></item></publish></pubsub></iq>`)
			}
		})
	}
}
