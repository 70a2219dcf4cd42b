import AttentionZooCommands

Visualize.main()
