package caps

import (
	"strings"
	"time"

	"parley/storage"
	"parley/xmpp"
)

var schema = storage.Schema{Name: "caps", Steps: []string{`
create table capabilities (
	digest text primary key,
	identities text not null,
	features text not null,
	used integer not null
) without rowid;
create index capabilities_used on capabilities (used, digest);
`}}

// What divides the parts of a row: no character of XML (XML 1.0 §2.2).
const (
	unit   = "\x1f"
	record = "\x1e"
)

// find reads what a digest is of, nil where it is not known.
func find(tx *storage.Tx, d digest) (*Info, error) {
	var identities, features string
	found, err := tx.One(`select identities, features from capabilities where digest = $1`, []any{d.String()}, &identities, &features)
	if err != nil || !found {
		return nil, err
	}
	info := &Info{}
	if features != "" {
		info.Features = strings.Split(features, unit)
	}
	for r := range strings.SplitSeq(identities, record) {
		if p := strings.Split(r, unit); len(p) == 4 {
			info.Identities = append(info.Identities, xmpp.Identity{Category: p[0], Type: p[1], Lang: p[2], Name: p[3]})
		}
	}
	return info, nil
}

// add keeps what a digest was proved to be of, and throws out what was not used for the
// longest time, so that limit rows stay.
func add(tx *storage.Tx, d digest, info *Info, now time.Time, limit int64) error {
	var ids []string
	for _, id := range info.Identities {
		ids = append(ids, id.Category+unit+id.Type+unit+id.Lang+unit+id.Name)
	}
	err := tx.Exec(`insert into capabilities (digest, identities, features, used) values ($1, $2, $3, $4)
		on conflict (digest) do update set used = excluded.used`,
		d.String(), strings.Join(ids, record), strings.Join(info.Features, unit), now)
	if err != nil {
		return err
	}
	var rows int64
	if _, err := tx.One(`select count(*) from capabilities`, nil, &rows); err != nil || rows <= limit {
		return err
	}
	return tx.Exec(`delete from capabilities where digest in (select digest from capabilities order by used, digest limit $1)`, rows-limit)
}

// use notes that somebody has a digest.
func use(tx *storage.Tx, d digest, now time.Time) error {
	return tx.Exec(`update capabilities set used = $2 where digest = $1`, d.String(), now)
}
