import ArgumentParser
import ModelZoo

/// `Visualize`: draws what each head of a model attends to, the spectrum of its attention, or its states.
public struct Visualize: Command {
    /// The name, usage and help of the command.
    public static let configuration = CommandConfiguration(
        abstract: "Draw what each head of a model attends to, the spectrum of its attention, or its states.",
        usage: """
            Visualize --run FOLDER [--text FILE] [--out FILE] [--spectrum FILE] [--states FILE] [options]
            Visualize --model ID --config FILE --weights FILE --text FILE [options]
            """,
        discussion: """
            The model reads the beginning of the text. Each head of each layer is a picture whose rows are the tokens that \
            look and whose columns are what they look at; the darker, the more. The spectrum shows how much of the \
            matrices of full attention their greatest singular values make up (Linformer, figure 1). The states are those \
            of a block-recurrent transformer: how alike they become over a stream, and which of them are read.
            """)

    /// Creates the command without values, as the parser needs.
    public init() {}

    @OptionGroup(title: "Model") var options: SourceOptions

    @Option(help: "The text: a file or folder; .gz is decompressed. (default: what the run has held back)")
    var text: String?

    @Option(help: "Tokens to read. (default: those of a window of the training, 512 at most)")
    var length: Int?

    @Option(help: "How many rows to draw: those of the first N tokens.")
    var nLimit: Int?

    @Option(parsing: .upToNextOption, help: "The layers to draw, from 1. (default: all)")
    var layers: [Int] = []

    @Option(parsing: .upToNextOption, help: "The heads to draw, from 1. (default: all)")
    var heads: [Int] = []

    @Option(help: "What to write above.")
    var title: String?

    @Flag(help: "One scale of colors for all pictures.")
    var commonScale = false

    @Option(help: "The pictures: a PNG file. (default: heads.png, without --spectrum and --states)")
    var out: String?

    @Option(help: "The spectrum: an .svg file, or an .html page with the values of each head too.")
    var spectrum: String?

    @Option(help: "The recurrent states over a stream: an .html page.")
    var states: String?

    @Option(help: "Threads to use; all processors unless given.")
    var threads: Int?

    /// Runs the command; throws an error of one line, or `ExitCode`.
    public func run() throws {
        try VisualizeCommand(source: options.source, options: self).run(print: { show($0) })
    }
}
