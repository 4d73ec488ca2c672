module github.com/portkeep/portkeep/bindings/go

go 1.19
