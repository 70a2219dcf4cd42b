import AttentionZooCommands

Bench.main()
