import AttentionZooCommands

Generate.main()
