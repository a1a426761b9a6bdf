package integration

func playStorm() {}
