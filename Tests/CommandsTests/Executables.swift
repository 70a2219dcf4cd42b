import Foundation

/// The exit of an executable and its output.
struct Outcome {
    let code: Int32
    let reason: Process.TerminationReason
    let output: String
    let error: String
}

extension Workspace {
    /// The folder of the built tests and executables.
    static let products: URL = {
        let bundle = Bundle.allBundles.first { $0.bundlePath.hasSuffix(".xctest") } ?? Bundle.main
        let tests = bundle.bundlePath.hasSuffix(".xctest") ? bundle.bundleURL : Bundle.main.executableURL!
        return tests.deletingLastPathComponent()
    }()

    /// A process of an executable that is not started yet.
    /// - Parameter environment: what to change of the test's own; nil removes a variable.
    func process(_ command: String, _ arguments: [String], environment: [String: String?] = [:]) -> Process {
        let process = Process()
        process.executableURL = Self.products.appendingPathComponent(command)
        process.arguments = arguments
        process.currentDirectoryURL = URL(fileURLWithPath: folder)
        process.environment = ProcessInfo.processInfo.environment.merging(environment.compactMapValues { $0 }) { $1 }
            .filter { environment[$0.key, default: ""] != nil }
        return process
    }

    /// Runs an executable to its end.
    func run(
        _ command: String, _ arguments: [String], input: String = "", environment: [String: String?] = [:]
    ) throws -> Outcome {
        try finish(process(command, arguments, environment: environment), input: input)
    }

    /// Runs a shell's script to its end, for redirections and for names that are not UTF-8, which no process here can be given.
    /// - Parameters:
    ///   - command: the executable that the script calls as "$0".
    ///   - arguments: what it calls as "$@".
    func shell(_ script: String, _ command: String, _ arguments: [String] = []) throws -> Outcome {
        let process = process(command, [])
        process.arguments = ["-ec", script, process.executableURL!.path] + arguments
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        return try finish(process)
    }

    private func finish(_ process: Process, input: String = "") throws -> Outcome {
        // Files, as a pipe that nobody empties meanwhile could fill up.
        let files = try ["in", "out", "err"].map { name in try write(name == "in" ? input : "", name) }
        process.standardInput = FileHandle(forReadingAtPath: files[0])
        process.standardOutput = FileHandle(forWritingAtPath: files[1])
        process.standardError = FileHandle(forWritingAtPath: files[2])
        try process.run()
        process.waitUntilExit()
        return try outcome(of: process, output: read("out"), error: read("err"))
    }

    func outcome(of process: Process, output: Data, error: Data = Data()) -> Outcome {
        Outcome(
            code: process.terminationStatus, reason: process.terminationReason,
            output: String(decoding: output, as: UTF8.self), error: String(decoding: error, as: UTF8.self))
    }

    /// The arguments of a very small training.
    func tinyArguments(_ folder: String = "run", steps: Int = 1_000_000_000) throws -> [String] {
        [
            "--model", "flash", "--config", try configuration(), "--data", try text(), "--sequence-length", "16",
            "--batch-size", "2", "--steps", "\(steps)", "--sample-every", "0", "--out", folder,
        ]
    }
}

/// A terminal that a process writes to and a test reads.
final class PseudoTerminal {
    private let master: Int32
    private var slave: FileHandle?
    private(set) var text = ""

    init(columns: Int = 80) throws {
        var size = winsize()
        size.ws_col = UInt16(columns)
        size.ws_row = 24
        var descriptors = (Int32(-1), Int32(-1))
        guard openpty(&descriptors.0, &descriptors.1, nil, nil, &size) == 0 else { throw POSIXError(.ENOTTY) }
        for number in [descriptors.0, descriptors.1] { _ = fcntl(number, F_SETFD, FD_CLOEXEC) }
        master = descriptors.0
        slave = FileHandle(fileDescriptor: descriptors.1, closeOnDealloc: true)
    }

    deinit { close(master) }

    /// Starts a process that writes here, to standard output and standard error.
    func run(_ process: Process) throws {
        process.standardOutput = slave
        process.standardError = slave
        try process.run()
        // Only the process has it from here on, so that its end ends what can be read.
        process.standardOutput = nil
        process.standardError = nil
        try slave?.close()
        slave = nil
    }

    /// Reads until a text has come, or to the end.
    @discardableResult
    func read(until expected: String? = nil) -> String {
        var bytes = [UInt8](repeating: 0, count: 4096)
        while expected.map({ !text.contains($0) }) ?? true {
            let count = Foundation.read(master, &bytes, bytes.count)
            if count <= 0 { break }
            text += String(decoding: bytes[..<count], as: UTF8.self)
        }
        return text
    }
}
