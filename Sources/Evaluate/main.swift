import AttentionZooCommands

Evaluate.main()
