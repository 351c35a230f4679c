package upload

import "time"

// SetPauses makes senders hurry.
func SetPauses(s *Service, pause, grace time.Duration) { s.pause, s.grace = pause, grace }

// Inner functions that fuzz tests look at.
var (
	CleanName   = cleanName
	CleanType   = cleanType
	Disposition = disposition
	Place       = place
)
