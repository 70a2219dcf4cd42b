import AttentionZooCommands

Compare.main()
