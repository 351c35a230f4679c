package main

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"parley/xep/contact"
)

// envPrefix begins the name of every variable of ours.
const envPrefix = "PARLEY_"

// envName is the variable of a key.
func envName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// A setter sets one key from the text of a variable.
type setter struct {
	key string
	set func(string) error
}

// applyEnvironment sets keys from variables like PARLEY_C2S_LISTEN; lists are separated by
// commas. It returns which keys were set by which variable.
func applyEnvironment(cfg *Config, environ []string) (from map[string]string, err error) {
	settable := map[string]setter{}
	collect(reflect.ValueOf(cfg).Elem(), "", settable)
	from = map[string]string{}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, envPrefix) || name == "PARLEY_CONFIG" || ofAnOrchestrator(name) {
			continue
		}
		s, ok := settable[name]
		if !ok {
			e := &configError{text: fmt.Sprintf("environment: there is no setting %s", name)}
			if near := nearestVariable(name, settable); near != "" {
				e.text += "; did you mean " + near + "?"
			}
			return nil, e
		}
		if err := s.set(value); err != nil {
			if s.key == "component" || s.key == "external_services" { // it has secrets
				value = "..."
			}
			return nil, &configError{text: fmt.Sprintf("environment: %s=%s: %v", name, value, err)}
		}
		from[s.key] = name
	}
	return from, nil
}

// nearestVariable is nearest for variables, without what all of them begin with.
func nearestVariable(name string, settable map[string]setter) string {
	var valid []string
	for _, v := range slices.Sorted(maps.Keys(settable)) {
		valid = append(valid, strings.TrimPrefix(v, envPrefix))
	}
	if near := nearest(strings.TrimPrefix(name, envPrefix), valid); near != "" {
		return envPrefix + near
	}
	return ""
}

// ofAnOrchestrator reports whether a variable is one that Kubernetes sets in every
// container when a service is called parley.
func ofAnOrchestrator(name string) bool {
	return name == "PARLEY_PORT" || strings.HasPrefix(name, "PARLEY_PORT_") || strings.HasPrefix(name, "PARLEY_SERVICE_")
}

// collect finds the setters of all keys below v, by the name of their variable.
func collect(v reflect.Value, prefix string, into map[string]setter) {
	for f := range fields(v.Type()) {
		key := prefix + f.Tag.Get("toml")
		field := v.FieldByIndex(f.Index)
		switch p := field.Addr().Interface().(type) {
		case *map[string][]string: // contact
			for _, kind := range contact.Kinds {
				into[envName(key+"."+kind)] = setter{key + "." + kind, func(s string) error {
					setEntry(p, kind, list(s))
					return nil
				}}
			}
		case *map[string]SharedGroupConfig:
			into[envName(key)] = setter{key, func(s string) error { return setSharedGroups(p, s) }}
		case *map[string]DomainArchive:
			into[envName(key)] = setter{key, func(s string) error { return setArchiveDomains(p, s) }}
		case *map[string]DomainRooms:
			into[envName(key)] = setter{key, func(s string) error { return setRoomDomains(p, s) }}
		case *map[string]ComponentConfig:
			into[envName(key)] = setter{key, func(s string) error { return setComponents(p, s) }}
		case *map[string]ExternalServiceConfig:
			into[envName(key)] = setter{key, func(s string) error { return setExternal(p, s) }}
		case *map[string]CertFile:
			into[envName(key)] = setter{key, func(s string) error { return setCertificates(p, s) }}
		default:
			if f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[Duration]() {
				collect(field, key+".", into)
				continue
			}
			into[envName(key)] = setter{key, func(s string) error { return setValue(field, s) }}
		}
	}
}

func setEntry[V any](m *map[string]V, key string, v V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[key] = v
}

// setCertificates reads domain=cert:key, several separated by commas.
func setCertificates(m *map[string]CertFile, s string) error {
	for _, part := range list(s) {
		domain, files, ok := strings.Cut(part, "=")
		cert, key, both := strings.Cut(files, ":")
		if !ok || !both {
			return fmt.Errorf("%q is not of the form domain=certificate-file:key-file", part)
		}
		setEntry(m, strings.TrimSpace(domain), CertFile{Cert: strings.TrimSpace(cert), Key: strings.TrimSpace(key)})
	}
	return nil
}

// setSharedGroups reads name=address address, several groups separated by commas.
func setSharedGroups(m *map[string]SharedGroupConfig, s string) error {
	for _, part := range list(s) {
		name, members, ok := strings.Cut(part, "=")
		if !ok {
			return fmt.Errorf("%q is not of the form name=address address", part)
		}
		setEntry(m, strings.TrimSpace(name), SharedGroupConfig{Members: strings.Fields(members)})
	}
	return nil
}

func list(s string) (parts []string) {
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

func setValue(v reflect.Value, s string) (err error) {
	switch p := v.Addr().Interface().(type) {
	case *string:
		*p = s
	case *Secret:
		*p = Secret(s)
	case *[]string:
		*p = list(s)
	case *bool:
		if *p, err = strconv.ParseBool(s); err != nil {
			return fmt.Errorf("this must be true or false")
		}
	case *int:
		if *p, err = strconv.Atoi(s); err != nil {
			return fmt.Errorf("this must be a whole number")
		}
	case *Duration:
		return p.UnmarshalText([]byte(s))
	default:
		return fmt.Errorf("this table has no variable; write it into the file")
	}
	return nil
}
