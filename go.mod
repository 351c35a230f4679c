module parley

go 1.26

require github.com/mattn/go-sqlite3 v1.14.52

require go.uber.org/goleak v1.3.0
