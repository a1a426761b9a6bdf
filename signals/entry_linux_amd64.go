package signals

func restorer() // the actions in entry_linux_amd64.s name it
