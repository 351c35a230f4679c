package main

import (
	"fmt"
	"strings"
	"time"

	"parley/xep/blocking"
	"parley/xep/mam"
	"parley/xep/private"
	"parley/xep/vcard"
)

// A Config is everything an operator may set. Every field has a default, a key in the
// file, an environment variable (PARLEY_ and the key in capitals, dots as underscores)
// and an explanation, which the example configuration is printed from.
type Config struct {
	Domains []string `toml:"domains" doc:"The domains of this server: what stands behind the @ in its users' addresses. The first is the default one."`
	Admins  []string `toml:"admins" reload:"true" doc:"Users who may administrate this server with their clients (XEP-0133): addresses like juliet@example.org, of accounts of its domains. Nobody can register such an address in-band."`
	Data    string   `toml:"data" doc:"The directory for everything that is kept: the database, certificates made by the server, the control socket. Relative to the working directory."`

	C2S          C2SConfig                        `toml:"c2s" doc:"Clients."`
	S2S          S2SConfig                        `toml:"s2s" doc:"Other servers: the rest of the world's addresses."`
	Components   ComponentsConfig                 `toml:"components" doc:"Services beside this server, as gateways to other networks (XEP-0114)."`
	HTTP         HTTPConfig                       `toml:"http" doc:"Browsers, and other programs that speak HTTP."`
	Pubsub       PubsubConfig                     `toml:"pubsub" doc:"What users publish for their contacts and for their own other clients: avatars, bookmarks, keys and so on (XEP-0163)."`
	Upload       UploadConfig                     `toml:"upload" doc:"Files that users send by HTTP and others fetch by their addresses (XEP-0363)."`
	S3           S3Config                         `toml:"upload_s3" doc:"A bucket of a store that speaks S3, in the place of the data directory, for the files that users upload."`
	FileProxy    FileProxyConfig                  `toml:"file_proxy" doc:"A relay for files that clients send to each other without HTTP, for users of this server (XEP-0065)."`
	Rooms        RoomsConfig                      `toml:"rooms" doc:"Group chat: the rooms of each domain are at a domain beside it (XEP-0045)."`
	SM           StreamManagementConfig           `toml:"stream_management" doc:"What clients have acknowledged, and sessions that outlive their connection (XEP-0198)."`
	TLS          TLSConfig                        `toml:"tls" doc:"Certificates."`
	Auth         AuthConfig                       `toml:"auth" doc:"Who may log in, and how."`
	Registration RegistrationConfig               `toml:"registration" doc:"Accounts that people make for themselves."`
	Presence     PresenceConfig                   `toml:"presence" doc:"What contacts see of each other."`
	Push         PushConfig                       `toml:"push" doc:"Notifications for clients that are not there to see what comes (XEP-0357)."`
	Search       SearchConfig                     `toml:"search" doc:"Searching for people by their vCards (XEP-0055)."`
	Archive      ArchiveConfig                    `toml:"archive" doc:"What users have said and heard, kept for all of their devices (XEP-0313)."`
	Limits       LimitsConfig                     `toml:"limits" doc:"What one account may use."`
	Storage      StorageConfig                    `toml:"storage" doc:"The database."`
	Contact      map[string][]string              `toml:"contact" reload:"true" doc:"Whom to write to about this server (XEP-0157), shown to everybody who asks: lists of mailto:, xmpp: or https: addresses under the names abuse, admin, feedback, sales, security, status, support. Without any, these are the mailboxes abuse@ and xmpp@ of the domain: see that somebody reads them."`
	Metrics      MetricsConfig                    `toml:"metrics" doc:"Figures for Prometheus (/metrics) and health checks (/healthz, /readyz)."`
	Log          LogConfig                        `toml:"log" doc:"What the server says. Stanzas, passwords and tokens are never logged."`
	SharedGroups map[string]SharedGroupConfig     `toml:"shared_groups" reload:"true" doc:"Groups that are in the contact lists of many, by the name that clients show: people who see each other without having asked."`
	Archives     map[string]DomainArchive         `toml:"archive_domains" reload:"true" doc:"What single domains have otherwise than the table archive says."`
	Peers        map[string]PeerConfig            `toml:"s2s_domains" reload:"true" doc:"What is otherwise for single domains of other servers; *.example.org stands for all below it."`
	RoomDomains  map[string]DomainRooms           `toml:"rooms_domains" reload:"true" doc:"What the rooms of single domains have otherwise than the table rooms says."`
	Component    map[string]ComponentConfig       `toml:"component" reload:"true" doc:"The components by their domains, and what they may do."`
	External     map[string]ExternalServiceConfig `toml:"external_services" reload:"true" doc:"Services beside XMPP that clients of users of this server are told of, as those that calls need (XEP-0215), by names for people."`
	Certificates map[string]CertFile              `toml:"certificates" reload:"true" doc:"Certificate files by domain; the files are read again as well. A domain that is not named here gets a self-signed certificate, made in the data directory; a component's only where no certificate that is named is for it."`
}

// C2SConfig is about clients.
type C2SConfig struct {
	Listen       []string `toml:"listen" doc:"Addresses for clients that begin in clear and switch to TLS (STARTTLS). :5222 and a bare 5222 listen on all addresses. Empty list: none."`
	ListenTLS    []string `toml:"listen_tls" doc:"Addresses for clients that begin with TLS (XEP-0368)."`
	RequireTLS   bool     `toml:"require_tls" doc:"Offer nothing but STARTTLS on a connection in clear. Switch it off for tests on one machine only."`
	StanzaBefore int      `toml:"max_stanza_before_login" reload:"true" doc:"The largest stanza before login, in bytes. At least 10000 (RFC 6120 §13.12)."`
	Stanza       int      `toml:"max_stanza" reload:"true" doc:"The largest stanza after login, in bytes."`
	LoginTimeout Duration `toml:"login_timeout" reload:"true" doc:"How long a connection may take to log in."`
	Idle         Duration `toml:"idle" reload:"true" doc:"After how much silence the server asks a client whether it is still there."`
	PingTimeout  Duration `toml:"ping_timeout" reload:"true" doc:"How long the client may take to answer that."`
	StanzaTime   Duration `toml:"stanza_timeout" reload:"true" doc:"How long a stanza that has begun may take to be complete."`
	Queue        int      `toml:"queue" reload:"true" doc:"How many bytes may wait for a client that does not read; beyond that its stream is ended. At least twice limits.offline_bytes."`
	Stall        Duration `toml:"stall" reload:"true" doc:"How long a client may read nothing while a quarter of that waits."`
	AccountRate  int      `toml:"account_rate" reload:"true" doc:"How many bytes a second one account may send in the long run, with all its clients. More is read later; nothing is lost. 0: any number."`
	AccountBurst int      `toml:"account_burst" reload:"true" doc:"How many bytes it may send at once."`
	AddressRate  int      `toml:"address_rate" reload:"true" doc:"The same for one address (of IPv6 a network of 64 bits), with all accounts that connect from there. 0: any number."`
	AddressBurst int      `toml:"address_burst" reload:"true" doc:"How many bytes may come from there at once."`
	PerAddress   int      `toml:"max_logins_per_address" reload:"true" doc:"How many connections of one address may be on their way to a login at the same time. 0: any number."`
	Attempts     int      `toml:"max_attempts" reload:"true" doc:"How many failed logins one connection may make (RFC 6120 §6.4.5: two to five)."`
}

// StreamManagementConfig is about stream management. It counts for sessions that are there.
type StreamManagementConfig struct {
	Timeout   Duration `toml:"timeout" reload:"true" doc:"How long a session waits for its client to come back, at most; a client may ask for less. Contacts see it as it was until then. 0s: not at all."`
	Stanzas   int      `toml:"queue_stanzas" reload:"true" doc:"How many stanzas may wait for one client's acknowledgement. A session that waits with more ends, and what is to be kept waits for the next login; a connected client has c2s.ping_timeout to acknowledge some of it."`
	Bytes     int      `toml:"queue_bytes" reload:"true" doc:"How many bytes these may have, with 256 for each. A connected client is allowed four times as much, or twice c2s.queue if that is more."`
	Sessions  int      `toml:"sessions" reload:"true" doc:"How many sessions of one account may wait for their clients at the same time; the one that has waited longest gives way."`
	AckWithin Duration `toml:"ack_within" reload:"true" doc:"How long a client that asks for an acknowledgement waits for the write under way; then it gets the count so far."`
}

// TLSConfig is about certificates.
type TLSConfig struct {
	ClientCA []string `toml:"client_ca" doc:"PEM files of authorities whose client certificates log in with SASL EXTERNAL (XEP-0178). Empty: nobody does."`
}

// CertFile names the files of one domain's certificate.
type CertFile struct {
	Cert string `toml:"cert" doc:"PEM file with the certificate, followed by its chain."`
	Key  string `toml:"key" doc:"PEM file with the private key."`
}

// SharedGroupConfig is about a group that many have among their contacts.
type SharedGroupConfig struct {
	Members []string `toml:"members" doc:"Who is in it: addresses, and domains as @example.org, which stand for everybody there."`
	ShownTo []string `toml:"shown_to" doc:"Who is shown it, written in the same way. Not given: its members."`
}

// AuthConfig is about logins.
type AuthConfig struct {
	Plain       bool     `toml:"plain" doc:"Offer PLAIN under TLS, for clients that cannot do SCRAM. It hands the password to the server and invites downgrade attacks (XEP-0388 §3)."`
	Binding     bool     `toml:"channel_binding" doc:"Offer the -PLUS mechanisms, which find out who listens in with a certificate of their own. Switch it off where a client chooses them and then fails, as one behind a TLS proxy must."`
	Iterations  int      `toml:"iterations" doc:"PBKDF2 iterations of new passwords; 4096 or more (RFC 7677 §4)."`
	TokenLife   Duration `toml:"token_lifetime" reload:"true" doc:"How long a token is good that a client has got at a login, to come back with instead of the password (XEP-0484). A client in use gets a new one every day. 0s: no tokens are given out, and none is taken."`
	RememberFor Duration `toml:"remember_devices" reload:"true" doc:"How long a device that does not come is remembered in the list of its owner (XEP-0494): what it calls itself, and when it came first and last. 0s: only devices with tokens are kept, without names."`
	Devices     int      `toml:"max_devices" reload:"true" doc:"How many devices of one account are remembered; those that have not come for the longest time are forgotten with their tokens."`
}

// RegistrationConfig is about in-band registration.
type RegistrationConfig struct {
	Open   bool `toml:"open" reload:"true" doc:"Anybody may make an account with their client (XEP-0077). An open server is found by spammers within days."`
	PerDay int  `toml:"per_address_per_day" reload:"true" doc:"How many accounts one address may make in a day. 0: any number."`
}

// PresenceConfig is about presence.
type PresenceConfig struct {
	LastActivity bool `toml:"last_activity" reload:"true" doc:"Tell users who come online of each contact who is absent: since when, and with what last words (XEP-0256). Off, a client hears that only if it asks (XEP-0012). Contacts alone hear of it, either way. On, each login reads a little from the database for every absent contact."`
}

// PushConfig is about notifications of mobile clients.
type PushConfig struct {
	Summary bool `toml:"summary" reload:"true" doc:"Tell the services of clients who has written, and the beginning of what. They are other people's, and see it. Off, they learn that something has come; the client then fetches it."`
}

// SearchConfig is about the directory of users.
type SearchConfig struct {
	Enabled bool `toml:"enabled" doc:"Users may search the vCards of their own domain: names, nicknames and e-mail addresses, which are then no longer found only by who knows the user's address."`
	Results int  `toml:"results" reload:"true" doc:"How many people one answer has at most."`
}

// LimitsConfig is about accounts.
type LimitsConfig struct {
	Resources       int      `toml:"resources" reload:"true" doc:"How many clients of one account may be connected."`
	OfflineMessages int      `toml:"offline_messages" reload:"true" doc:"How many messages wait for a user who is away; the senders of more get an error."`
	OfflineBytes    int      `toml:"offline_bytes" reload:"true" doc:"How many bytes those may have."`
	OfflineExpiry   Duration `toml:"offline_expiry" reload:"true" doc:"How long a message waits for a user who does not come; then it is deleted. 0s: for ever."`
	RosterItems     int      `toml:"roster_items" reload:"true" doc:"How many contacts a user may have, without those of shared groups."`
	RosterBytes     int      `toml:"roster_bytes" reload:"true" doc:"How many bytes the addresses, names and groups of these may have together. A client is sent all of them at once: three quarters of c2s.queue at most."`
	RosterGroups    int      `toml:"roster_groups" reload:"true" doc:"In how many groups of the user's own a contact may be."`
	RosterName      int      `toml:"roster_name" reload:"true" doc:"How many characters the name of a contact or of such a group may have."`
	VCardBytes      int      `toml:"vcard_bytes" reload:"true" doc:"How many bytes a vCard may have, its picture included. Smaller than c2s.max_stanza, or that is the limit."`
	PrivateBytes    int      `toml:"private_bytes" reload:"true" doc:"How many bytes of private XML (XEP-0049) clients may keep for a user."`
	Blocked         int      `toml:"blocked" reload:"true" doc:"How many addresses and domains a user may block."`
	UnknownErrors   int      `toml:"unknown_address_errors" reload:"true" doc:"How many errors for messages to addresses that do not exist one account gets in a minute. More are dropped without a word, so that nobody finds out who exists by trying names. 0: any number."`
	Strangers       int      `toml:"stranger_messages" reload:"true" doc:"How many messages one account may send in a minute to people who neither have it among their contacts nor have written to it. 0: any number."`
	Requests        int      `toml:"subscription_requests" reload:"true" doc:"How many people one account may ask in an hour to see their presence. 0: any number."`
	Memory          int      `toml:"memory" doc:"A soft limit for the server's memory in MiB: near it the garbage collector works harder. 0: none."`
}

// StorageConfig is about the database.
type StorageConfig struct {
	Readers int `toml:"readers" doc:"Connections that read while the one writer writes."`
	Queue   int `toml:"queue" doc:"How many bytes may wait to be written; beyond that clients are read more slowly."`
}

// MetricsConfig is about the operator's listener.
type MetricsConfig struct {
	Listen    string `toml:"listen" doc:"Address of the HTTP listener, a loopback address unless you know who can reach it. Empty: none."`
	Profiling bool   `toml:"profiling" doc:"Serve Go's profiles under /debug/pprof on the same listener. They can show what is in memory."`
}

// LogConfig is about the log.
type LogConfig struct {
	Level  string `toml:"level" reload:"true" doc:"debug, info, warn or error."`
	Format string `toml:"format" doc:"text or json."`
}

// A Duration is a time.Duration that is written as 90s, 5m or 1h30m.
type Duration struct{ time.Duration }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) (err error) {
	if d.Duration, err = time.ParseDuration(string(text)); err != nil {
		return fmt.Errorf("%q is no duration; write it as 90s, 5m or 1h30m", text)
	}
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(shortDuration(d.Duration)), nil }

func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// defaults is the configuration of a server that has no file.
func defaults() Config {
	d := func(t time.Duration) Duration { return Duration{t} }
	return Config{
		Domains: []string{"localhost"},
		Data:    "data",
		C2S: C2SConfig{
			Listen: []string{":5222"}, ListenTLS: []string{":5223"}, RequireTLS: true,
			StanzaBefore: 64 << 10, Stanza: 256 << 10, LoginTimeout: d(time.Minute),
			Idle: d(5 * time.Minute), PingTimeout: d(time.Minute), StanzaTime: d(2 * time.Minute), Queue: 4 << 20, Stall: d(10 * time.Second),
			PerAddress: 200, Attempts: 3,
			AccountRate: 1 << 20, AccountBurst: 32 << 20, AddressRate: 16 << 20, AddressBurst: 256 << 20,
		},
		S2S:          defaultS2S(),
		Components:   defaultComponents(),
		HTTP:         defaultHTTP(),
		Pubsub:       defaultPubsub(),
		Upload:       defaultUpload(),
		S3:           defaultS3(),
		FileProxy:    defaultFileProxy(),
		Rooms:        defaultRooms(),
		SM:           StreamManagementConfig{Timeout: d(10 * time.Minute), Stanzas: 2500, Bytes: 2 << 20, Sessions: 5, AckWithin: d(100 * time.Millisecond)},
		Auth:         AuthConfig{Binding: true, Iterations: 10000, TokenLife: d(21 * 24 * time.Hour), RememberFor: d(90 * 24 * time.Hour), Devices: 50},
		Registration: RegistrationConfig{PerDay: 3},
		Search:       SearchConfig{Results: vcard.DefaultResults},
		Archive:      ArchiveConfig{Default: mam.PolicyAlways, Retention: d(365 * 24 * time.Hour), Messages: 1_000_000, Bytes: 1 << 30, Page: mam.MaxPage},
		Limits: LimitsConfig{Resources: 10, OfflineMessages: 5000, OfflineBytes: 2 << 20, OfflineExpiry: d(365 * 24 * time.Hour),
			RosterItems: 10000, RosterBytes: 2 << 20, RosterGroups: 100, RosterName: 1023,
			VCardBytes: vcard.DefaultBytes, PrivateBytes: private.DefaultBytes, Blocked: blocking.DefaultItems, UnknownErrors: 20,
			Strangers: 60, Requests: 100},
		Storage: StorageConfig{Readers: 3, Queue: 64 << 20},
		Metrics: MetricsConfig{Listen: "127.0.0.1:5280"},
		Log:     LogConfig{Level: "info", Format: "text"},
	}
}
