package mam

import (
	"cmp"
	"math"
	"slices"

	"parley/storage"
)

// exchangedTables is the archive once more, in the order of the conversations: of each row
// of an account that is to be seen what is asked for by peer. It is written behind the rows (exchange):
// on their way it would cost a page of the disk for each, and behind many share one.
const exchangedTables = `
create table exchanged (
	owner integer not null,
	peer integer not null,
	id integer not null,
	flags integer not null,
	resource integer not null,
	m integer not null,        -- how many of the peer's there have been up to it
	primary key (owner, peer, id)
) without rowid;
insert into exchanged select owner, peer, id, flags, resource, m from kept where flags & 4 = 0 order by owner, peer, id;
drop index kept_peer;
alter table kept drop column m;
insert into indexed (owner, upto) select -1, coalesce(max(id), 0) from body;
`

// exchangedMark is the owner under which the mark of exchanged stands among those of the
// words: all rows up to it are there.
const exchangedMark = math.MinInt64

const (
	sqlToExchange = `select k.owner, k.peer, k.id, k.flags, k.resource from body b cross join kept k
			where b.id > $1 and b.id <= $2 and b.one > 0 and k.owner = b.one and k.id = b.id and k.flags & 4 = 0
		union all
		select k.owner, k.peer, k.id, k.flags, k.resource from body b cross join kept k
			where b.id > $1 and b.id <= $2 and b.two <> b.one and k.owner = b.two and k.id = b.id and k.flags & 4 = 0`
	sqlToExchangeEnd = `select count(*), coalesce(max(id), 0) from (select id from body where id > $1 order by id limit $2)`
	sqlToExchangeOf  = `select k.owner, k.peer, k.id, k.flags, k.resource from kept k
		where k.owner = $1 and k.id > $2 and k.flags & 4 = 0 and k.id > coalesce((
			select id from exchanged where owner = k.owner and peer = k.peer order by id desc limit 1), 0)
		order by k.id limit $3`
	sqlPeerEnd    = `select id, m from exchanged where owner = $1 and peer = $2 order by id desc limit 1`
	sqlUnexchange = `delete from exchanged where owner = $1 and id = $2 and peer = (select peer from kept where owner = $1 and id = $2)`
	sqlExchange   = `insert into exchanged (owner, peer, id, flags, resource, m) values ($1, $2, $3, $4, $5, $6)`
)

// An exchanged is a row of kept that is to be seen.
type exchanged struct {
	owner, peer int64
	id          storage.ID
	flags       flags
	resource    int64
}

// exchangeSome looks for the rows of the next n messages on the disk, and puts them into
// exchanged. It returns up to where all are there now, and whether there may be more.
func exchangeSome(tx *storage.Tx, n int) (upto storage.ID, more bool, err error) {
	if _, err = tx.One(sqlMark, []any{exchangedMark}, &upto); err != nil {
		return 0, false, err
	}
	var count int
	var end storage.ID
	if _, err = tx.One(sqlToExchangeEnd, []any{upto, n}, &count, &end); err != nil || count == 0 {
		return upto, false, err
	}
	list, err := toExchange(tx, sqlToExchange, upto, end)
	if err != nil {
		return 0, false, err
	}
	return end, count == n, exchangeUpTo(tx, list, end)
}

// exchangeUpTo puts rows into exchanged: all that may be missing there up to an id.
func exchangeUpTo(tx *storage.Tx, list []exchanged, upto storage.ID) error {
	if err := exchangeThese(tx, list); err != nil {
		return err
	}
	return tx.Exec(sqlSetMark, exchangedMark, upto)
}

// exchangeOf puts up to n rows of one owner into exchanged, ahead of the others', and returns
// how many.
func exchangeOf(tx *storage.Tx, owner int64, n int) (done int, err error) {
	var upto storage.ID
	if _, err = tx.One(sqlMark, []any{exchangedMark}, &upto); err != nil {
		return 0, err
	}
	list, err := toExchange(tx, sqlToExchangeOf, owner, upto, n)
	if err != nil {
		return 0, err
	}
	return len(list), exchangeThese(tx, list)
}

// exchangeAll does it for all rows of an owner, in a transaction that is about to ask for
// them. These are what the account has had since the last piece.
func exchangeAll(tx *storage.Tx, owner int64) error {
	for {
		n, err := exchangeOf(tx, owner, exchangePiece)
		if err != nil || n < exchangePiece {
			return err
		}
	}
}

// toExchange reads the rows that a query finds.
func toExchange(tx *storage.Tx, q string, args ...any) (list []exchanged, err error) {
	err = tx.Each(q, args, func(r *storage.Row) error {
		list = append(list, exchanged{r.Int(0), r.Int(1), r.ID(2), flags(r.Int(3)), r.Int(4)})
		return nil
	})
	return list, err
}

// exchangeThese sorts rows, and puts them into exchanged. There those of a peer come in the
// order of their ids, so what is not newer than the last of them is there already, or was.
func exchangeThese(tx *storage.Tx, list []exchanged) error {
	slices.SortFunc(list, func(a, b exchanged) int {
		return cmp.Or(cmp.Compare(a.owner, b.owner), cmp.Compare(a.peer, b.peer), cmp.Compare(a.id, b.id))
	})
	var last exchanged
	var end edge
	for _, r := range list {
		if r.owner != last.owner || r.peer != last.peer {
			end = edge{}
			if _, err := tx.One(sqlPeerEnd, []any{r.owner, r.peer}, &end.id, &end.total); err != nil {
				return err
			}
			last = r
		}
		if r.id <= end.id {
			continue
		}
		end.total++
		if err := tx.Exec(sqlExchange, r.owner, r.peer, r.id, int64(r.flags), r.resource, end.total); err != nil {
			return err
		}
	}
	return nil
}
