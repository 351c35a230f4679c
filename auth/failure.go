package auth

// A Failure ends an exchange (RFC 6120 §6.5). The peer may read Condition and Text;
// Cause is for the log alone.
type Failure struct {
	Condition string // a SASL error condition, as the element's name
	Text      string // for people, may be empty; never says which part was wrong
	Cause     error
}

// The conditions that this package gives (RFC 6120 §6.5). Those about the stream
// (aborted, incorrect-encoding) are the door's.
const (
	AccountDisabled      = "account-disabled"
	CredentialsExpired   = "credentials-expired"
	EncryptionRequired   = "encryption-required"
	InvalidAuthzid       = "invalid-authzid"
	InvalidMechanism     = "invalid-mechanism"
	MalformedRequest     = "malformed-request"
	NotAuthorized        = "not-authorized"
	TemporaryAuthFailure = "temporary-auth-failure"
)

func (f *Failure) Error() string {
	s := f.Condition
	if f.Text != "" {
		s += ": " + f.Text
	}
	if f.Cause != nil {
		s += ": " + f.Cause.Error()
	}
	return s
}

func (f *Failure) Unwrap() error { return f.Cause }

// cause is a reason for the log that needs no allocation.
type cause string

func (c cause) Error() string { return string(c) }

func malformed(why string) *Failure  { return &Failure{Condition: MalformedRequest, Cause: cause(why)} }
func refused(why string) *Failure    { return &Failure{Condition: NotAuthorized, Cause: cause(why)} }
func ourFault(err error) *Failure    { return &Failure{Condition: TemporaryAuthFailure, Cause: err} }
func badAuthzid(why string) *Failure { return &Failure{Condition: InvalidAuthzid, Cause: cause(why)} }
