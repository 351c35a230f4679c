package xmpp

import "testing"

func TestPaging(t *testing.T) {
	const head, tail = `<iq type='set' id='1'><query xmlns='test'><set xmlns='http://jabber.org/protocol/rsm'>`, `</set></query></iq>`
	none := Paging{Max: -1, Index: -1}
	with := func(change func(*Paging)) *Paging { p := none; change(&p); return &p }
	for in, want := range map[string]*Paging{
		``:                                   &none,
		`<max>10</max>`:                      with(func(p *Paging) { p.Max = 10 }),
		`<max>0</max>`:                       with(func(p *Paging) { p.Max = 0 }),
		`<max>2147483647</max>`:              with(func(p *Paging) { p.Max = 1<<31 - 1 }),
		`<max>2147483648</max>`:              nil,
		`<max>99999999999999999999999</max>`: nil,
		`<max>-1</max>`:                      nil,
		`<max>+1</max>`:                      nil,
		`<max>ten</max>`:                     nil,
		`<max/>`:                             nil,
		`<max>1.5</max>`:                     nil,
		`<index>371</index>`:                 with(func(p *Paging) { p.Index = 371 }),
		`<index>-371</index>`:                nil,
		`<index>1</index><after>x</after>`:   nil,
		`<index>1</index><before/>`:          nil,
		`<after>x</after>`:                   with(func(p *Paging) { p.After = "x" }),
		`<after/>`:                           &none,
		`<before/>`:                          with(func(p *Paging) { p.Backwards = true }),
		`<before>y</before><after>x</after>`: with(func(p *Paging) { p.Backwards, p.Before, p.After = true, "y", "x" }),
		`<first index='3'>x</first><z/>`:     &none,
	} {
		st, err := ParseStanza(head + in + tail)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParsePaging(st.Payload())
		if want == nil {
			if e, ok := err.(*Error); !ok || e.Condition != "bad-request" {
				t.Errorf("%s: %+v, %v", in, got, err)
			}
			continue
		}
		if err != nil || got != *want {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
}

func TestPage(t *testing.T) {
	for want, p := range map[string]Page{
		`<set xmlns='http://jabber.org/protocol/rsm'><count>800</count></set>`:                                           {Index: -1, Count: 800},
		`<set xmlns='http://jabber.org/protocol/rsm'><first index='0'>a</first><last>b</last><count>2</count></set>`:     {"a", "b", 0, 2},
		`<set xmlns='http://jabber.org/protocol/rsm'><first>a&lt;</first><last>b</last></set>`:                           {"a<", "b", -1, -1},
		`<set xmlns='http://jabber.org/protocol/rsm'/>`:                                                                  {Index: -1, Count: -1},
		`<set xmlns='http://jabber.org/protocol/rsm'><first index='790'>a</first><last>a</last><count>791</count></set>`: {"a", "a", 790, 791},
	} {
		if got := string(p.Payload()); got != want {
			t.Errorf("%+v: %s", p, got)
		}
	}
}

func FuzzPaging(f *testing.F) {
	f.Add(`<set xmlns='http://jabber.org/protocol/rsm'><max>10</max><before/><index>1</index></set>`)
	f.Fuzz(func(t *testing.T, in string) {
		st, err := ParseStanza(`<iq type='set' id='1'><query xmlns='test'>` + in + `</query></iq>`)
		if err != nil {
			return
		}
		p, err := ParsePaging(st.Payload())
		if err == nil && (p.Max < -1 || p.Index < -1 || p.Index >= 0 && (p.Backwards || p.After != "")) {
			t.Errorf("%q: %+v", in, p)
		}
	})
}
