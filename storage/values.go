package storage

import (
	"database/sql/driver"
	"fmt"
	"reflect"
	"time"
)

// bind turns a feature's values into the driver's, onto dst.
//
// A time is kept as microseconds since 1970, a zero time and a nil as NULL, an empty
// []byte as an empty value. Named types of these kinds and driver.Valuer are understood.
func bind(dst []driver.NamedValue, args []any) ([]driver.NamedValue, error) {
	for i, a := range args {
		v, err := value(a)
		if err != nil {
			return dst, fmt.Errorf("value $%d: %w", i+1, err)
		}
		dst = append(dst, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return dst, nil
}

func value(a any) (driver.Value, error) {
	switch v := a.(type) {
	case nil, string, []byte, int64, float64:
		return v, nil
	case int:
		return int64(v), nil
	case ID:
		return int64(v), nil
	case bool:
		if v {
			return int64(1), nil
		}
		return int64(0), nil
	case time.Time:
		if v.IsZero() {
			return nil, nil
		}
		return v.UnixMicro(), nil
	case driver.Valuer:
		w, err := v.Value()
		if _, again := w.(driver.Valuer); err != nil || again {
			return nil, fmt.Errorf("%T has no value: %v", a, err)
		}
		return value(w)
	}
	return kindValue(reflect.ValueOf(a))
}

func kindValue(v reflect.Value) (driver.Value, error) {
	switch v.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int(), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if v.Uint() > 1<<63-1 {
			return nil, fmt.Errorf("%d is too large", v.Uint())
		}
		return int64(v.Uint()), nil
	case reflect.String:
		return v.String(), nil
	case reflect.Bool:
		return value(v.Bool())
	case reflect.Float32, reflect.Float64:
		return v.Float(), nil
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return v.Bytes(), nil
		}
	}
	return nil, fmt.Errorf("cannot keep a %v", v.Type())
}

// A Row is one row of a result, good until the function it was given to returns; what its
// readers return stays good. Columns count from 0. NULL reads as the zero value. A column
// of another kind reads as the zero value too, and Each then returns an error.
type Row struct {
	values []driver.Value
	err    error
}

// Null says whether column i is NULL.
func (r *Row) Null(i int) bool { return r.values[i] == nil }

// Int reads column i as an integer.
func (r *Row) Int(i int) int64 {
	switch v := r.values[i].(type) {
	case int64:
		return v
	case bool:
		if v {
			return 1
		}
	case nil:
	default:
		r.mismatch(i, "an integer")
	}
	return 0
}

// ID reads column i as an ID.
func (r *Row) ID(i int) ID { return ID(r.Int(i)) }

// Bool reads column i as true (anything but 0) or false.
func (r *Row) Bool(i int) bool { return r.Int(i) != 0 }

// Float reads column i as a number.
func (r *Row) Float(i int) float64 {
	switch v := r.values[i].(type) {
	case float64:
		return v
	case int64:
		return float64(v)
	case nil:
	default:
		r.mismatch(i, "a number")
	}
	return 0
}

// Text reads column i as text.
func (r *Row) Text(i int) string {
	switch v := r.values[i].(type) {
	case string:
		return v
	case []byte:
		return string(v)
	case nil:
	default:
		r.mismatch(i, "text")
	}
	return ""
}

// Bytes reads column i as bytes, which are the caller's own.
func (r *Row) Bytes(i int) []byte {
	switch v := r.values[i].(type) {
	case []byte:
		return v // the driver made this copy
	case string:
		return []byte(v)
	case nil:
	default:
		r.mismatch(i, "bytes")
	}
	return nil
}

// Time reads column i as a time kept by bind: UTC, or the zero time for NULL.
func (r *Row) Time(i int) time.Time {
	if r.Null(i) {
		return time.Time{}
	}
	return time.UnixMicro(r.Int(i)).UTC()
}

// Scan reads the first columns into dest: pointers to int, int64, uint32, uint64, ID,
// string, []byte, bool, float64 or time.Time.
func (r *Row) Scan(dest ...any) error {
	if len(dest) > len(r.values) {
		return fmt.Errorf("storage: %d places for %d columns", len(dest), len(r.values))
	}
	for i, d := range dest {
		switch d := d.(type) {
		case *int64:
			*d = r.Int(i)
		case *int:
			*d = int(r.Int(i))
		case *uint32:
			*d = uint32(r.Int(i))
		case *uint64:
			*d = uint64(r.Int(i))
		case *ID:
			*d = r.ID(i)
		case *string:
			*d = r.Text(i)
		case *[]byte:
			*d = r.Bytes(i)
		case *bool:
			*d = r.Bool(i)
		case *float64:
			*d = r.Float(i)
		case *time.Time:
			*d = r.Time(i)
		default:
			return fmt.Errorf("storage: cannot read a column into a %T", d)
		}
	}
	return r.err
}

func (r *Row) mismatch(i int, want string) {
	if r.err == nil {
		r.err = fmt.Errorf("storage: column %d is a %T, not %s", i, r.values[i], want)
	}
}
