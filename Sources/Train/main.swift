import AttentionZooCommands

Train.main()
