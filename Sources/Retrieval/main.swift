import AttentionZooCommands

Retrieval.main()
