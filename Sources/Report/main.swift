import AttentionZooCommands

Report.main()
