package main

import (
	"fmt"
	"maps"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"parley/xep/contact"
	"parley/xmpp"
)

// A badKey is a key whose value a server could not work with.
type badKey struct {
	key  []string
	text string
}

func bad(key, format string, args ...any) *badKey {
	return &badKey{strings.Split(key, "."), fmt.Sprintf(format, args...)}
}

// at says where the value stands: in the environment, in a line of the file, or only that
// the file as a whole leads to it.
func (b *badKey) at(file, text string, from map[string]string) *configError {
	name := strings.Join(b.key, ".")
	if v, ok := from[name]; ok {
		return &configError{text: fmt.Sprintf("environment: %s: %s", v, b.text)}
	}
	if v, ok := from[b.key[0]]; ok && lineOf(text, b.key) == 0 { // a table, which one variable sets
		return &configError{text: fmt.Sprintf("environment: %s: %s: %s", v, strings.Join(b.key[1:], "."), b.text)}
	}
	e := &configError{file: file, text: name + ": " + b.text}
	if file != "" {
		e.line = lineOf(text, b.key)
	}
	return e
}

// checkConfig finds what a server could not work with, and writes domains and addresses in
// one form.
func checkConfig(cfg *Config) *badKey {
	for _, check := range []func(*Config) *badKey{
		checkDomains, checkAdmins, checkListeners, checkHTTP, checkNumbers, checkDurations, checkContact, checkSharedGroups, checkArchive, checkComponents, checkRooms, checkPubsub, checkUpload, checkS3, checkFileProxy, checkExternal, checkCertificates, checkLog, checkS2S,
	} {
		if wrong := check(cfg); wrong != nil {
			return wrong
		}
	}
	if cfg.Data == "" {
		return bad("data", "a server needs a directory")
	}
	return nil
}

func checkDomains(cfg *Config) *badKey {
	if len(cfg.Domains) == 0 {
		return bad("domains", "a server needs a domain")
	}
	for i, d := range cfg.Domains {
		name, ok := domainOf(d)
		if !ok {
			return bad("domains", "%q is no domain", d)
		}
		if slices.Contains(cfg.Domains[:i], name) {
			return bad("domains", "%s is named twice", name)
		}
		cfg.Domains[i] = name
	}
	return nil
}

// checkAdmins wants addresses of accounts that this server can have.
func checkAdmins(cfg *Config) *badKey {
	for i, a := range cfg.Admins {
		jid, err := xmpp.ParseJID(a)
		switch {
		case err != nil || jid.Local() == "" || !jid.IsBare():
			return bad("admins", "%q is no user's address; write it as juliet@%s", a, cfg.Domains[0])
		case !slices.Contains(cfg.Domains, jid.Domain()):
			return bad("admins", "%s: %s is none of the domains, %s", jid, jid.Domain(), strings.Join(cfg.Domains, ", "))
		case slices.Contains(cfg.Admins[:i], jid.String()):
			return bad("admins", "%s is named twice", jid)
		}
		cfg.Admins[i] = jid.String()
	}
	return nil
}

// adminList returns the addresses of a checked configuration.
func adminList(admins []string) []xmpp.JID {
	var list []xmpp.JID
	for _, a := range admins {
		if jid, err := xmpp.ParseJID(a); err == nil {
			list = append(list, jid)
		}
	}
	return list
}

// domainOf returns a domain as addresses write it.
func domainOf(s string) (string, bool) {
	j, err := xmpp.ParseJID(s)
	return j.Domain(), err == nil && j.IsHost()
}

func checkListeners(cfg *Config) *badKey {
	metrics := []string{cfg.Metrics.Listen}
	if cfg.Metrics.Listen == "" {
		metrics = nil
	}
	for _, l := range []struct {
		key       string
		addresses []string
	}{{"c2s.listen", cfg.C2S.Listen}, {"c2s.listen_tls", cfg.C2S.ListenTLS}, {"s2s.listen", cfg.S2S.Listen}, {"s2s.listen_tls", cfg.S2S.ListenTLS}, {"components.listen", cfg.Components.Listen}, {"components.listen_tls", cfg.Components.ListenTLS}, {"metrics.listen", metrics}} {
		for i, a := range l.addresses {
			if _, err := strconv.Atoi(a); err == nil { // a bare port
				a = ":" + a
				l.addresses[i] = a
			}
			_, port, err := net.SplitHostPort(a)
			if n, badPort := strconv.Atoi(port); err != nil || badPort != nil || n < 0 || n > 65535 {
				return bad(l.key, "%q is no address; write it as 127.0.0.1:5222, [::1]:5222 or :5222", a)
			}
		}
	}
	if len(metrics) > 0 {
		cfg.Metrics.Listen = metrics[0]
	}
	return nil
}

func checkNumbers(cfg *Config) *badKey {
	for _, n := range []struct {
		key        string
		value      int
		least, top int
	}{
		{"c2s.max_stanza_before_login", cfg.C2S.StanzaBefore, 10000, 1 << 20},
		{"c2s.max_stanza", cfg.C2S.Stanza, 10000, 16 << 20},
		{"c2s.queue", cfg.C2S.Queue, 64 << 10, 1 << 30},
		{"s2s.max_stanza", cfg.S2S.Stanza, 10000, 64 << 20},
		{"s2s.queue_bytes", cfg.S2S.QueueBytes, 64 << 10, 1 << 30},
		{"s2s.queue_stanzas", cfg.S2S.Queue, 1, 1 << 30},
		{"s2s.max_unproven_per_address", cfg.S2S.PerAddress, 0, 1 << 30},
		{"s2s.connection_rate", cfg.S2S.Rate, 0, 1 << 40},
		{"s2s.connection_burst", cfg.S2S.Burst, 0, 1 << 40},
		{"s2s.max_connections", cfg.S2S.Links, 0, 1 << 30},
		{"rooms.max", cfg.Rooms.Max, 1, 1 << 30},
		{"rooms.max_per_user", cfg.Rooms.PerUser, 1, 1 << 30},
		{"rooms.max_occupants", cfg.Rooms.Occupants, 1, 1 << 20},
		{"rooms.max_affiliations", cfg.Rooms.Affiliations, 1, 1 << 20},
		{"rooms.max_history", cfg.Rooms.History, 1, 1000},
		{"rooms.message_rate", cfg.Rooms.Rate, 1, 1 << 30},
		{"rooms.byte_rate", cfg.Rooms.RateBytes, 1 << 10, 1 << 40},
		{"rooms.presence_rate", cfg.Rooms.PresenceRate, 1, 1 << 30},
		{"rooms.max_sessions", cfg.Rooms.Sessions, 1, 1000},
		{"rooms.queue_stanzas", cfg.Rooms.Queue, 16, 1 << 30},
		{"rooms.queue_bytes", cfg.Rooms.QueueBytes, 64 << 10, 1 << 30},
		{"rooms.max_applications", cfg.Rooms.Applications, 1, 1 << 20},
		{"rooms.max_slow_mode", cfg.Rooms.SlowMode, 1, 1 << 30},
		{"rooms.max_hats", cfg.Rooms.Hats, 1, 1 << 20},
		{"rooms.max_hats_per_user", cfg.Rooms.HatsWorn, 1, 1 << 20},
		{"rooms.max_versions", cfg.Rooms.Versions, 1, 1 << 20},
		{"rooms.max_avatar", cfg.Rooms.AvatarBytes, 1 << 10, 16 << 20},
		{"rooms.max_watchers", cfg.Rooms.Watchers, 1, 1 << 20},
		{"rooms.max_watched", cfg.Rooms.Watched, 1, 1 << 20},
		{"pubsub.max_nodes", cfg.Pubsub.Nodes, 1, 1 << 20},
		{"pubsub.max_items", cfg.Pubsub.Items, 1, 1 << 20},
		{"pubsub.max_payload", cfg.Pubsub.Payload, 1024, 16 << 20},
		{"pubsub.max_bytes", cfg.Pubsub.Bytes, 1024, 1 << 40},
		{"pubsub.max_subscriptions", cfg.Pubsub.Subscriptions, 1, 1 << 20},
		{"pubsub.service_max_nodes", cfg.Pubsub.ServiceNodes, 1, 1 << 30},
		{"pubsub.service_max_nodes_per_user", cfg.Pubsub.PerUser, 1, 1 << 30},
		{"pubsub.service_max_bytes", cfg.Pubsub.ServiceBytes, 1024, 1 << 50},
		{"pubsub.service_max_subscriptions", cfg.Pubsub.ServiceSubscriptions, 1, 1 << 20},
		{"pubsub.max_affiliations", cfg.Pubsub.Affiliations, 1, 1 << 20},
		{"components.max_stanza", cfg.Components.Stanza, 10000, 64 << 20},
		{"components.queue_bytes", cfg.Components.QueueBytes, 64 << 10, 1 << 30},
		{"components.max_unproven_per_address", cfg.Components.PerAddress, 0, 1 << 30},
		{"c2s.account_rate", cfg.C2S.AccountRate, 0, 1 << 40},
		{"c2s.account_burst", cfg.C2S.AccountBurst, 0, 1 << 40},
		{"c2s.address_rate", cfg.C2S.AddressRate, 0, 1 << 40},
		{"c2s.address_burst", cfg.C2S.AddressBurst, 0, 1 << 40},
		{"c2s.max_logins_per_address", cfg.C2S.PerAddress, 0, 1 << 30},
		{"c2s.max_attempts", cfg.C2S.Attempts, 2, 5},
		{"stream_management.queue_stanzas", cfg.SM.Stanzas, 10, 1 << 20},
		{"stream_management.queue_bytes", cfg.SM.Bytes, 64 << 10, 1 << 28},
		{"stream_management.sessions", cfg.SM.Sessions, 0, 1000},
		{"auth.iterations", cfg.Auth.Iterations, 4096, 10_000_000},
		{"registration.per_address_per_day", cfg.Registration.PerDay, 0, 1 << 30},
		{"limits.resources", cfg.Limits.Resources, 1, 1000},
		{"limits.offline_messages", cfg.Limits.OfflineMessages, 1, 1 << 30},
		{"limits.offline_bytes", cfg.Limits.OfflineBytes, 1, 512 << 20},
		{"limits.roster_items", cfg.Limits.RosterItems, 1, 50000},
		{"limits.roster_bytes", cfg.Limits.RosterBytes, 4096, 512 << 20},
		{"limits.roster_groups", cfg.Limits.RosterGroups, 0, 1000},
		{"limits.roster_name", cfg.Limits.RosterName, 1, 4096},
		{"limits.vcard_bytes", cfg.Limits.VCardBytes, 1024, 16 << 20},
		{"limits.stranger_messages", cfg.Limits.Strangers, 0, 1 << 30},
		{"limits.subscription_requests", cfg.Limits.Requests, 0, 1 << 30},
		{"limits.private_bytes", cfg.Limits.PrivateBytes, 1024, 64 << 20},
		{"limits.blocked", cfg.Limits.Blocked, 1, 50000},
		{"archive.max_messages", cfg.Archive.Messages, 0, 1 << 40},
		{"archive.max_bytes", cfg.Archive.Bytes, 0, 1 << 50},
		{"archive.max_page", cfg.Archive.Page, 10, 1000},
		{"auth.max_devices", cfg.Auth.Devices, 1, 1000},
		{"search.results", cfg.Search.Results, 1, 1000},
		{"limits.unknown_address_errors", cfg.Limits.UnknownErrors, 0, 1 << 30},
		{"limits.memory", cfg.Limits.Memory, 0, 1 << 30},
		{"storage.readers", cfg.Storage.Readers, 1, 64},
		{"storage.queue", cfg.Storage.Queue, 1 << 20, 1 << 34},
	} {
		if n.value < n.least || n.value > n.top {
			return bad(n.key, "%d is not between %d and %d", n.value, n.least, n.top)
		}
	}
	if least := 2 * cfg.Limits.OfflineBytes; cfg.C2S.Queue < least {
		// All that waits for a user is queued for their client at once.
		return bad("c2s.queue", "%d is less than twice limits.offline_bytes, which is %d", cfg.C2S.Queue, least)
	}
	if most := 3 * cfg.C2S.Queue / 4; cfg.Limits.RosterBytes > most { // it is sent whole, with some XML around
		return bad("limits.roster_bytes", "%d is more than three quarters of c2s.queue, which are %d", cfg.Limits.RosterBytes, most)
	}
	return nil
}

func checkDurations(cfg *Config) *badKey {
	for _, d := range []struct {
		key string
		Duration
	}{
		{"c2s.login_timeout", cfg.C2S.LoginTimeout}, {"c2s.idle", cfg.C2S.Idle},
		{"c2s.ping_timeout", cfg.C2S.PingTimeout}, {"c2s.stanza_timeout", cfg.C2S.StanzaTime},
		{"c2s.stall", cfg.C2S.Stall},
		{"s2s.give_up", cfg.S2S.GiveUp}, {"s2s.connect_timeout", cfg.S2S.Connect}, {"s2s.proof_timeout", cfg.S2S.Negotiate},
		{"s2s.idle", cfg.S2S.Idle}, {"s2s.stall", cfg.S2S.Stall}, {"rooms.unlock_after", cfg.Rooms.Unlock}, {"rooms.idle", cfg.Rooms.Idle},
		{"components.handshake_timeout", cfg.Components.Handshake}, {"components.ping_timeout", cfg.Components.Patience},
		{"components.stall", cfg.Components.Stall}, {"components.absent_after", cfg.Components.Absent},
	} {
		if d.Duration.Duration < time.Second {
			return bad(d.key, "%s is less than a second", d.Duration.Duration)
		}
	}
	if i := cfg.Components.Idle.Duration; i != 0 && i < time.Second {
		return bad("components.idle", "%s is less than a second; 0s asks nobody", i)
	}
	if l := cfg.Auth.TokenLife.Duration; l != 0 && (l < time.Hour || l > 10*365*24*time.Hour) {
		return bad("auth.token_lifetime", "%s is not between an hour and ten years; 0s switches tokens off", l)
	}
	if r := cfg.Auth.RememberFor.Duration; r != 0 && (r < time.Hour || r > 10*365*24*time.Hour) {
		return bad("auth.remember_devices", "%s is not between an hour and ten years; 0s remembers no more than tokens need", r)
	}
	if t := cfg.SM.Timeout.Duration; t < 0 || t > 24*time.Hour || t > 0 && t < time.Second {
		return bad("stream_management.timeout", "%s is neither 0s nor between a second and a day", t)
	}
	if t := cfg.SM.AckWithin.Duration; t < time.Millisecond {
		return bad("stream_management.ack_within", "%s is less than 1ms", t)
	}
	if e := cfg.Limits.OfflineExpiry.Duration; e != 0 && e < time.Hour {
		return bad("limits.offline_expiry", "%s is less than an hour; 0s keeps messages for ever", e)
	}
	return nil
}

func checkContact(cfg *Config) *badKey {
	for _, kind := range slices.Sorted(maps.Keys(cfg.Contact)) {
		if !slices.Contains(contact.Kinds, kind) {
			return bad("contact."+kind, "the names are %s", strings.Join(contact.Kinds, ", "))
		}
		for _, a := range cfg.Contact[kind] {
			if !contact.IsURI(a) { // XEP-0157 §2
				return bad("contact."+kind, "%q is no URI; write it as mailto:%[1]s, xmpp:%[1]s or https://...", a)
			}
		}
	}
	return nil
}

func checkCertificates(cfg *Config) *badKey {
	named := map[string]CertFile{}
	for _, domain := range slices.Sorted(maps.Keys(cfg.Certificates)) {
		files := cfg.Certificates[domain]
		wrong := func(text string) *badKey { return &badKey{[]string{"certificates", domain}, text} }
		name, ok := domainOf(domain)
		_, component := cfg.Component[name]
		if !ok || !component && !slices.Contains(cfg.Domains, name) && !slices.Contains(serviceDomains(*cfg), name) {
			text := "this is none of the domains, " + strings.Join(cfg.Domains, ", ")
			if len(cfg.Component) > 0 {
				text += ", nor a component's"
			}
			return wrong(text)
		}
		if files.Cert == "" || files.Key == "" {
			return wrong("both cert and key are needed")
		}
		named[name] = files
	}
	cfg.Certificates = named
	return nil
}

func checkLog(cfg *Config) *badKey {
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, cfg.Log.Level) {
		return bad("log.level", "%q is none of debug, info, warn, error", cfg.Log.Level)
	}
	if cfg.Log.Format != "text" && cfg.Log.Format != "json" {
		return bad("log.format", "%q is neither text nor json", cfg.Log.Format)
	}
	return nil
}

// unreloadable lists the keys that differ between two configurations and need a restart.
func unreloadable(was, now Config) []string {
	return differing(reflect.ValueOf(was), reflect.ValueOf(now), "")
}

func differing(was, now reflect.Value, prefix string) (list []string) {
	for f := range fields(was.Type()) {
		name := prefix + f.Tag.Get("toml")
		a, b := was.FieldByIndex(f.Index), now.FieldByIndex(f.Index)
		switch {
		case f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[Duration]():
			list = append(list, differing(a, b, name+".")...)
		case f.Tag.Get("reload") != "":
		case f.Type.Kind() == reflect.Slice && a.Len() == 0 && b.Len() == 0: // nil or empty
		case !reflect.DeepEqual(a.Interface(), b.Interface()):
			list = append(list, name)
		}
	}
	return list
}
