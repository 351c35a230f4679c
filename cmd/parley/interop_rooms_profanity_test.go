//go:build interop

package main

import (
	"fmt"
	"os"
	"testing"
)

// meetInTerminals has two people at Profanity in a room: one makes it and governs it, the other
// comes, takes another name, is listened to, and is shown the door.
func meetInTerminals(t *testing.T, s roomServer) {
	room := fmt.Sprintf("terminals-%d@conference.localhost", os.Getpid())
	juliet, romeo := newProfanityAt(t, s.port, "juliet"), newProfanityAt(t, s.port, "romeo")
	for _, p := range []*profanity{juliet, romeo} {
		p.types("/occupants default hide") // what is said has the whole width
		p.types("/presence room all")
		p.login("pw-" + p.user)
	}
	juliet.types("/join " + room + " nick Juliet")
	juliet.shows("You have joined the room as Juliet, role: moderator, affiliation: owner", "/win 2")
	juliet.shows("Room locked, requires configuration.", "")
	juliet.types("/room accept")
	juliet.types("Now it is open")
	juliet.shows("Juliet: Now it is open", "")
	romeo.types("/join " + room + " nick Romeo")
	romeo.shows("You have joined the room as Romeo, role: participant, affiliation: none", "/win 2")
	juliet.shows("-> Romeo has joined the room", "")
	talkInTerminals(juliet, romeo)
	governInTerminals(juliet, romeo)
	configureInTerminals(juliet, room)
	showTheDoor(juliet, romeo, s, room)
}

func talkInTerminals(juliet, romeo *profanity) {
	romeo.types("Good morrow")
	juliet.shows("Romeo: Good morrow", "")
	juliet.types("Is the day so young?")
	romeo.shows("Juliet: Is the day so young?", "")
	romeo.types("/nick Montague")
	juliet.shows("** Romeo is now known as Montague", "")
	romeo.types("Call me but love")
	juliet.shows("Montague: Call me but love", "")
	juliet.types("/subject set A feast")
	romeo.shows("*Juliet has set the room subject: A feast", "")
	romeo.types("/msg Juliet Ay, if I know the letters")
	juliet.shows("[3]", "") // there is a window of it
	juliet.shows("Ay, if I know the letters", "/win 3")
	juliet.types("Ye say honestly")
	romeo.shows("Ye say honestly", "")
	for _, p := range []*profanity{juliet, romeo} {
		p.types("/close")
		p.types("/win 2")
	}
}

// governInTerminals gives and takes what people are and may, and lists it.
func governInTerminals(juliet, romeo *profanity) {
	juliet.types("/affiliation set member romeo@localhost a friend")
	juliet.shows("Montague's affiliation has been changed to: member", "")
	romeo.shows("Your affiliation has been changed to: member", "")
	juliet.types("/affiliation list")
	for _, line := range []string{"Affiliation: owner", "!   juliet@localhost", "No users found with affiliation: admin", "Affiliation: member", "!   romeo@localhost"} {
		juliet.shows(line, "")
	}
	juliet.types("/role set visitor Montague")
	romeo.shows("Your role has been changed to: visitor", "")
	juliet.shows("Montague (romeo@localhost/", "/role list visitor")
	juliet.types("/role set participant Montague")
	romeo.shows("Your role has been changed to: participant", "")
}

// configureInTerminals has the owner see the form, give the room a name in it, and find that there.
func configureInTerminals(juliet *profanity, room string) {
	juliet.types("/room config")
	juliet.shows("Use '/form submit' to save changes.", "")
	juliet.types(`/field1 "The feast of Capulet"`) // the name comes first in all forms
	juliet.shows("Field updated", "")
	juliet.types("/form submit")
	juliet.shows("Room configuration successful", "/win 2")
	juliet.types("/win 1")
	juliet.asks("/disco info "+room, "The feast of Capulet")
	juliet.types("/win 2")
}

func showTheDoor(juliet, romeo *profanity, s roomServer, room string) {
	juliet.types("/kick Montague enough now")
	romeo.shows("Kicked from "+room+" by Juliet, reason: enough now", "")
	juliet.shows("Montague has been kicked from the room by Juliet, reason: enough now", "")
	romeo.types("/join " + room + " nick Romeo")
	romeo.shows("You have joined the room as Romeo", "/win 2")
	romeo.shows("has set the room subject: A feast", "")
	romeo.types("/close")
	juliet.shows("<- Romeo has left the room", "")
	juliet.types("/ban romeo@localhost for good")
	juliet.types("/affiliation list outcast")
	juliet.shows("Affiliation: outcast", "")
	if s.name == "ejabberd" { // which lets the banned in who was a member before
		return
	}
	romeo.types("/win 1")
	romeo.types("/join " + room + " nick Romeo")
	romeo.shows("forbidden", "")
}
