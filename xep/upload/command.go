package upload

import (
	"context"
	"fmt"
	"strings"

	"parley/router"
	"parley/xmpp"
)

// listed is how many files a command shows.
const listed = 100

// commands is what users may do with their own files (XEP-0050): XEP-0363 has no way to.
func (s *Service) commands() []router.Command {
	return []router.Command{{Node: "urn:x-parley:upload#files", Name: "My Files", May: s.hasFiles, Run: s.files}}
}

// hasFiles reports whether who asks could have files.
func (s *Service) hasFiles(q *router.Request) bool {
	return s.cfg.Prefix != "" && s.may(s.settings(q.Host), q.From())
}

// files shows the asker's files, to choose those that are to be removed.
func (s *Service) files(ctx context.Context, q *router.Request) (router.Stage, error) {
	owner := q.From().Bare().String()
	list, err := s.List(ctx, owner, listed)
	if err != nil {
		return router.Stage{}, err
	}
	if len(list) == 0 {
		return router.Stage{Notes: []router.Note{{Type: "info", Text: "You have no files here."}}}, nil
	}
	choice := xmpp.Field{Var: "files", Type: "list-multi", Label: "Remove these"}
	for _, f := range list {
		choice.Options = append(choice.Options, xmpp.Option{Label: label(f), Value: f.ID})
	}
	form := &xmpp.Form{Title: "My Files", Instructions: "The files that you have uploaded, the newest first. Choose those that are to be removed; nobody can fetch them then.", Fields: []xmpp.Field{choice}}
	return router.Stage{Form: form, Last: true, Next: func(ctx context.Context, _ *router.Request, in xmpp.Form) (router.Stage, error) {
		n, err := s.Delete(ctx, owner, in.Values("files")...)
		return router.Stage{Notes: []router.Note{{Type: "info", Text: fmt.Sprintf("Removed: %d", n)}}}, err
	}}, nil
}

// label says in a line what a file is.
func label(f Info) string {
	until := "for ever"
	if f.Expires != nil {
		until = "until " + f.Expires.Format("2006-01-02")
	}
	return fmt.Sprintf("%s (%s, of %s, kept %s)", f.Name, Size(f.Bytes), f.Created.Format("2006-01-02 15:04"), until)
}

// Size writes a number of bytes for people.
func Size(n int64) string {
	unit := 0
	v := float64(n)
	for v >= 1024 && unit < 4 {
		v /= 1024
		unit++
	}
	return strings.Replace(fmt.Sprintf("%.1f ", v), ".0 ", " ", 1) + [...]string{"B", "KiB", "MiB", "GiB", "TiB"}[unit]
}
