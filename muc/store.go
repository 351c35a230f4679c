package muc

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"parley/storage"
	"parley/xmpp"
)

// schema is what is kept of rooms, beside what they archive.
var schema = storage.Schema{Name: "rooms", Steps: []string{`
create table room (
	id integer primary key,
	jid text not null unique,
	domain text not null,
	config text not null,
	name text not null,
	listed integer not null,
	temporary integer not null,
	locked integer not null,
	subject text not null,
	subject_by text not null,
	subject_id text not null,
	subject_at integer not null
);
create index room_domain on room (domain, jid);
create index room_listed on room (domain, jid) where listed and not locked;
create index room_passing on room (id) where temporary or locked;
create table room_list (
	room integer not null,
	jid text not null,
	affiliation integer not null,
	nick text not null,
	reason text not null,
	primary key (room, jid)
) without rowid;
create index room_list_jid on room_list (jid, affiliation);
create table room_seat (
	room text not null,
	place integer not null,
	turn integer not null,
	jid text not null,
	nick text not null,
	role integer not null,
	said text not null,
	primary key (room, place, turn)
);
`, `
alter table room add column version integer not null default 0;
alter table room add column photos text not null default '';
alter table room_seat add column versions integer not null default 0;
create table room_hat (
	room integer not null,
	uri text not null,
	title text not null,
	hue text not null,
	primary key (room, uri)
) without rowid;
create table room_wearer (
	room integer not null,
	jid text not null,
	uri text not null,
	primary key (room, jid, uri)
) without rowid;
create index room_wearer_jid on room_wearer (jid);
create table room_change (
	room integer not null,
	version integer not null,
	jid text not null,
	was integer not null,
	affiliation integer not null,
	primary key (room, version)
) without rowid;
create table room_card (
	room integer primary key,
	card text not null
);
create table room_visit (
	jid text not null,
	room integer not null,
	at integer not null,
	primary key (jid, room)
) without rowid;
create index room_visit_room on room_visit (room);
`, `
alter table room_list add column notify integer not null default 0;
alter table room_list add column since integer not null default 0; -- the id at which one became a member
`}}

// read reads a room.
func (r *room) read(tx *storage.Tx) error {
	var config, by, photos string
	var at int64
	found, err := tx.One(`select id, config, locked, subject, subject_by, subject_id, subject_at, version, photos from room where jid = $1`,
		[]any{r.jid.String()}, &r.id, &config, &r.locked, &r.subject.text, &by, &r.subject.id, &at, &r.version, &photos)
	if err != nil || !found {
		return err
	}
	r.cfg = new(RoomConfig)
	if err := json.Unmarshal([]byte(config), r.cfg); err != nil {
		return err
	}
	if at != 0 {
		r.subject.at = time.UnixMicro(at).UTC()
	}
	if by != "" {
		if r.subject.by, err = xmpp.ParseJID(by); err != nil {
			return err
		}
	}
	r.exists, r.photos = true, strings.Fields(photos)
	err = tx.Each(`select jid, affiliation, nick, reason, notify from room_list where room = $1`, []any{r.id}, func(row *storage.Row) error {
		j, err := xmpp.ParseJID(row.Text(0))
		if err == nil {
			r.lists.set(j, entry{affiliation(row.Int(1)), row.Text(2), row.Text(3), level(row.Int(4))})
		}
		return err
	})
	if err != nil {
		return err
	}
	if err = r.hats.read(tx, r.id); err != nil {
		return err
	}
	return r.readHistory(tx)
}

// addRoom adds a room and returns its number, which is no other's ever.
func addRoom(tx *storage.Tx, jid xmpp.JID, cfg *RoomConfig, by xmpp.JID, locked bool) (storage.ID, error) {
	id := tx.NextID()
	err := tx.Exec(`insert into room (id, jid, domain, config, name, listed, temporary, locked, subject, subject_by, subject_id, subject_at, version)
		values ($1, $2, $3, $4, $5, $6, $7, $8, '', '', '', 0, $1)`,
		id, jid.String(), jid.Domain(), asJSON(cfg), cfg.Name, cfg.Public, !cfg.Persistent, locked)
	if err != nil || by.IsZero() {
		return id, err
	}
	if err = putEntry(tx, id, by, entry{aff: owner}); err != nil {
		return id, err
	}
	return id, addChange(tx, id, id, affChange{by, none, owner})
}

func asJSON(cfg *RoomConfig) string {
	text, err := json.Marshal(cfg)
	if err != nil {
		panic(err) // a RoomConfig has nothing that cannot be written
	}
	return string(text)
}

// setConfig keeps a configuration, and that the room is not locked any more.
func setConfig(tx *storage.Tx, id storage.ID, cfg *RoomConfig) error {
	return tx.Exec(`update room set config = $2, name = $3, listed = $4, temporary = $5, locked = false where id = $1`,
		id, asJSON(cfg), cfg.Name, cfg.Public, !cfg.Persistent)
}

func setSubject(tx *storage.Tx, id storage.ID, s subject) error {
	return tx.Exec(`update room set subject = $2, subject_by = $3, subject_id = $4, subject_at = $5 where id = $1`,
		id, s.text, s.by.String(), s.id, s.at.UnixMicro())
}

func removeRoom(tx *storage.Tx, id storage.ID) error {
	for _, q := range []string{
		`delete from room_list where room = $1`, `delete from room_change where room = $1`, `delete from room_visit where room = $1`,
		`delete from room_wearer where room = $1`, `delete from room_hat where room = $1`, `delete from room_card where room = $1`,
		`delete from room where id = $1`,
	} {
		if err := tx.Exec(q, id); err != nil {
			return err
		}
	}
	return nil
}

// mayHaveMore refuses a room beyond the limits.
func (s *Service) mayHaveMore(tx *storage.Tx, room, by xmpp.JID) error {
	lim := s.settings(room.Domain())
	s.mu.Lock()
	there := s.count[room.Domain()]
	s.mu.Unlock()
	if there >= lim.Rooms {
		s.stats.Refused.Add(1)
		return &xmpp.Error{Type: "wait", Condition: "resource-constraint", Text: "there are too many rooms"}
	}
	if by.IsZero() {
		return nil
	}
	var owns int
	_, err := tx.One(`select count(*) from (select 1 from room_list where jid = $1 and affiliation = $2 limit $3)`,
		[]any{by.String(), int64(owner), lim.RoomsPerUser}, &owns)
	if err == nil && owns >= lim.RoomsPerUser {
		s.stats.Refused.Add(1)
		err = &xmpp.Error{Type: "wait", Condition: "resource-constraint", Text: "you own too many rooms"}
	}
	return err
}

// founded counts rooms.
func (s *Service) founded(jid xmpp.JID, n int) {
	s.mu.Lock()
	s.count[jid.Domain()] += n
	s.mu.Unlock()
}

// listed is a room as the list of a domain's rooms has it.
type listed struct {
	jid, name string
	public    bool
}

// What of rooms a list has, and which: with all the hidden ones, too.
const (
	sqlListed = `select jid, name, listed from room where domain = $1 and listed and not locked`
	sqlAll    = `select jid, name, listed from room where domain = $1 and not locked`
)

// roomsBehind reads up to n rooms of a domain behind an address, in the order of the
// addresses; hidden ones only where all is set.
func roomsBehind(tx *storage.Tx, domain, after string, all bool, n int) ([]listed, error) {
	if all {
		return readRooms(tx, sqlAll+` and jid > $2 order by jid limit $3`, domain, after, n)
	}
	return readRooms(tx, sqlListed+` and jid > $2 order by jid limit $3`, domain, after, n)
}

// roomsBefore reads up to n listed rooms before an address, "" for the last ones.
func roomsBefore(tx *storage.Tx, domain, before string, n int) (list []listed, err error) {
	if before == "" {
		list, err = readRooms(tx, sqlListed+` order by jid desc limit $2`, domain, n)
	} else {
		list, err = readRooms(tx, sqlListed+` and jid < $2 order by jid desc limit $3`, domain, before, n)
	}
	slices.Reverse(list)
	return list, err
}

func readRooms(tx *storage.Tx, sql string, args ...any) (list []listed, err error) {
	err = tx.Each(sql, args, func(r *storage.Row) error {
		list = append(list, listed{r.Text(0), r.Text(1), r.Bool(2)})
		return nil
	})
	return list, err
}

// begin counts the rooms, and removes those that were not to outlive the last run.
func (s *Service) begin(ctx context.Context) {
	type passing struct {
		id  storage.ID
		jid string
	}
	var over []passing
	err := s.store.Write(ctx, func(tx *storage.Tx) error {
		over = over[:0]
		clear(s.count)
		err := tx.Each(`select id, jid from room where (temporary or locked) and jid not in (select room from room_seat)`, nil, func(r *storage.Row) error {
			over = append(over, passing{r.ID(0), r.Text(1)})
			return nil
		})
		for _, p := range over {
			if err == nil {
				err = removeRoom(tx, p.id)
			}
			if err == nil {
				err = s.cfg.Archives.Remove(tx, -int64(p.id))
			}
		}
		if err != nil {
			return err
		}
		return tx.Each(`select domain, count(*) from room group by domain`, nil, func(r *storage.Row) error {
			s.count[r.Text(0)] = int(r.Int(1))
			return nil
		})
	})
	if err != nil {
		s.log.Error("the rooms could not be looked through", "error", err)
	}
}

// countRooms counts the rooms of a domain that are listed, and those of these that come before
// one.
func countRooms(tx *storage.Tx, domain, first string) (n, before int, err error) {
	_, err = tx.One(`select count(*), coalesce(sum(jid < $2), 0) from room where domain = $1 and listed and not locked`,
		[]any{domain, first}, &n, &before)
	return n, before, err
}

// savedSeat is a seat as it is kept over a restart.
type savedSeat struct {
	room        string
	place, turn int // of the occupant in the room, and of the seat among the occupant's
	jid, nick   string
	role        int
	said        string
	versions    bool
}

func addSeat(tx *storage.Tx, s savedSeat) error {
	return tx.Exec(`insert into room_seat (room, place, turn, jid, nick, role, said, versions) values ($1, $2, $3, $4, $5, $6, $7, $8)`,
		s.room, s.place, s.turn, s.jid, s.nick, s.role, s.said, s.versions)
}

func savedSeats(tx *storage.Tx) (list []savedSeat, err error) {
	err = tx.Each(`select room, place, turn, jid, nick, role, said, versions from room_seat order by room, place, turn`, nil, func(r *storage.Row) error {
		var s savedSeat
		if err := r.Scan(&s.room, &s.place, &s.turn, &s.jid, &s.nick, &s.role, &s.said, &s.versions); err != nil {
			return err
		}
		list = append(list, s)
		return nil
	})
	return list, err
}

func forgetSeats(tx *storage.Tx) error { return tx.Exec(`delete from room_seat`) }

// roomsOf returns the rooms that have an address in their lists.
func roomsOf(tx *storage.Tx, j xmpp.JID) (list []string, err error) {
	err = tx.Each(`select room.jid from room_list join room on room.id = room_list.room where room_list.jid = $1`, []any{j.String()}, func(r *storage.Row) error {
		list = append(list, r.Text(0))
		return nil
	})
	return list, err
}

const sqlOwnedAlone = `select room.jid from room_list l join room on room.id = l.room
	where l.jid = $1 and l.affiliation = $2 and not exists (
		select 1 from room_list where room = l.room and affiliation = $2 and jid <> $1) order by room.jid`

// ownedAlone returns the rooms whose only owner is an address.
func ownedAlone(tx *storage.Tx, j xmpp.JID) (list []string, err error) {
	err = tx.Each(sqlOwnedAlone, []any{j.String(), int64(owner)}, func(r *storage.Row) error {
		list = append(list, r.Text(0))
		return nil
	})
	return list, err
}
