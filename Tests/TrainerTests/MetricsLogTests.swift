import Foundation
import Tensors
import Testing
import Trainer

@Suite struct MetricsLogTests {
    let folder: TemporaryFolder
    let path: String

    init() throws {
        folder = try TemporaryFolder()
        path = folder.path + "/metrics.jsonl"
    }

    private func metrics(_ step: Int, extra: [String: Double] = [:]) -> StepMetrics {
        StepMetrics(
            step: step, tokens: step * 4096, loss: 5.5 / Double(step), bitsPerByte: 1 / 3, learningRate: 2e-4,
            gradientNorm: 0.1, tokensPerSecond: 12345.678, seconds: 1.5 * Double(step), extra: extra)
    }

    private func content() throws -> String { try String(contentsOfFile: path, encoding: .utf8) }

    @Test("Each step is one line of JSON")
    func aLineAStep() throws {
        let log = try MetricsLog(path: path)
        try log.append(metrics(1))
        try log.append(metrics(2, extra: ["validation_loss": 3.25, "a\"b": 1]))
        #expect(
            try content() == """
                {"step":1,"tokens":4096,"loss":5.5,"bits_per_byte":0.3333333333333333,"learning_rate":0.0002,\
                "gradient_norm":0.1,"tokens_per_second":12345.678,"seconds":1.5}
                {"step":2,"tokens":8192,"loss":2.75,"bits_per_byte":0.3333333333333333,"learning_rate":0.0002,\
                "gradient_norm":0.1,"tokens_per_second":12345.678,"seconds":3.0,"a\\"b":1.0,"validation_loss":3.25}

                """)
        #expect(
            try MetricsLog.read(path: path) == [metrics(1), metrics(2, extra: ["validation_loss": 3.25, "a\"b": 1])])
    }

    @Test("A log that is opened again is continued")
    func openedAgainItGoesOn() throws {
        try MetricsLog(path: path).append(metrics(1))
        try MetricsLog(path: path).append(metrics(2))
        #expect(try MetricsLog.read(path: path) == [metrics(1), metrics(2)])
    }

    @Test("Infinity and NaN are written as null and read as NaN")
    func infinityAndNaNAreNull() throws {
        var diverged = metrics(1)
        diverged.loss = .nan
        diverged.gradientNorm = .infinity
        try MetricsLog(path: path).append(diverged)
        #expect(try content().contains(#""loss":null,"#))
        let read = try #require(try MetricsLog.read(path: path).first)
        #expect(read.loss.isNaN && read.gradientNorm.isNaN)
        #expect(read.seconds == 1.5)
    }

    @Test("Resume drops the lines of later steps", arguments: [(0, 0), (1, 1), (3, 3), (4, 3), (5, 5), (9, 5)])
    func resumingDropsLaterSteps(step: Int, kept: Int) throws {
        let before = try MetricsLog(path: path)
        for step in [1, 2, 3, 5] { try before.append(metrics(step)) }
        let log = try MetricsLog(path: path, resumingAfter: step)
        try log.append(metrics(100))
        let steps = [1, 2, 3, 5].filter { $0 <= kept } + [100]
        #expect(try MetricsLog.read(path: path).map(\.step) == steps)
    }

    @Test("An incomplete last line is ignored", arguments: [nil, 2])
    func aLineThatWasCutOffIsIgnored(step: Int?) throws {
        try MetricsLog(path: path).append(metrics(1))
        let whole = try content()
        try folder.write(whole + #"{"step":2,"tok"#, "metrics.jsonl")
        #expect(try MetricsLog.read(path: path) == [metrics(1)])
        try MetricsLog(path: path, resumingAfter: step).append(metrics(2))
        #expect(try MetricsLog.read(path: path) == [metrics(1), metrics(2)])
    }

    @Test("A new log and one cut off in its first line are empty")
    func emptyAndNewLogs() throws {
        _ = try MetricsLog(path: path, resumingAfter: 7)
        #expect(try MetricsLog.read(path: path) == [])
        try folder.write(#"{"step":1"#, "metrics.jsonl")  // cut off in the first line
        #expect(try MetricsLog.read(path: path) == [])
    }

    @Test("Lines of other writers may have other columns, order, and spelling of numbers")
    func otherWritersColumnsAndOrder() throws {
        let line =
            #"{"note": 7, "loss": 1, "step": 3.0, "tokens": 5, "bits_per_byte": null, "learning_rate": 1e-3, "#
            + #""gradient_norm": 0, "tokens_per_second": 9, "seconds": 2}"#
        try folder.write(line + "\n", "metrics.jsonl")
        let read = try #require(try MetricsLog.read(path: path).first)
        #expect(read.step == 3 && read.loss == 1 && read.learningRate == 1e-3 && read.extra == ["note": 7])
    }

    // MARK: What is no log

    @Test(
        "A broken line is named, and left out on resume",
        arguments: [
            (#"{"step":1}"#, #": "tokens" is missing; expected a whole number"#),
            (#"{"step":1,"tokens":2}"#, #": "loss" is missing; expected a number or null"#),
            (#"{"step":1.5,"tokens":2}"#, #": "step": expected a whole number, found 1.5"#),
            (#"{"step":1,"tokens":2,"loss":"low"}"#, #": "loss": expected a number or null, found "low""#),
            ("[]", #": "step" is missing; expected a whole number"#),
            ("", ": is empty; expected JSON"),
            (#"{"step" 1}"#, #", column 9: not valid JSON: expected ":" after the key "step", found "1""#),
        ])
    func brokenLines(line: String, problem: String) throws {
        try MetricsLog(path: path).append(metrics(1))
        try folder.write(try content() + line + "\n", "metrics.jsonl")
        let message = "\(path), line 2\(problem)"
        expectError(message) { try MetricsLog.read(path: path) }
        var warnings: [String] = []
        #expect(try MetricsLog.read(path: path) { warnings.append($0) } == [metrics(1)])
        #expect(warnings == [message + "; left out"])
        // A resumption goes on without it.
        try MetricsLog(path: path, resumingAfter: 5, warn: { warnings.append($0) }).append(metrics(6))
        #expect(warnings == [message + "; left out", message + "; left out"])
        #expect(try MetricsLog.read(path: path) == [metrics(1), metrics(6)])
    }

    @Test(
        "Broken lines anywhere are left out, the others stay as they are",
        arguments: [[0], [2], [4], [0, 1, 3], [0, 1, 2, 3, 4]])
    func brokenLinesAnywhere(places: [Int]) throws {
        let log = try MetricsLog(path: path)
        for step in 1...4 { try log.append(metrics(step)) }
        var lines = try content().split(separator: "\n").map { Data($0.utf8) }
        let broken = [Data(count: 300), Data("{\"step\":".utf8), Data([0xFF, 0xFE]), Data("null".utf8), Data()]
        for (place, line) in zip(places, broken).reversed() { lines.insert(line, at: place) }
        try Data(lines.flatMap { $0 + [0x0A] }).write(to: URL(fileURLWithPath: path))
        var warnings: [String] = []
        try MetricsLog(path: path, resumingAfter: 4, warn: { warnings.append($0) }).append(metrics(5))
        #expect(try MetricsLog.read(path: path) == (1...5).map { metrics($0) })
        // All of them in one line.
        try #require(warnings.count == 1)
        #expect(warnings[0].hasPrefix("\(path), line \(places[0] + 1)"))
        #expect(!warnings[0].contains { $0.isNewline || $0 == "\0" })
        let others = [1: "", 3: " (and 2 other lines)", 5: " (and 4 other lines)"][places.count]!
        #expect(warnings[0].hasSuffix(others + "; left out"), "\(warnings[0])")
    }

    @Test("A line with a step that is still to come does not take those after it along")
    func aStrayStep() throws {
        let log = try MetricsLog(path: path)
        for step in [1, 900_002, 3, 4] { try log.append(metrics(step)) }
        _ = try MetricsLog(path: path, resumingAfter: 3)
        #expect(try MetricsLog.read(path: path).map(\.step) == [1, 3])
    }

    @Test("Behind a link there is somebody else's file")
    func links() throws {
        let target = folder.path + "/target"
        for content in ["somebody's\n", "", nil] {
            unlink(target)
            if let content { try folder.write(content, "target") }
            #expect(symlink(target, path) == 0)
            expectError("\(path): is a symbolic link; expected a file of the run's own") {
                try MetricsLog(path: path, resumingAfter: 0)
            }
            #expect((try? String(contentsOfFile: target, encoding: .utf8)) == content)
            unlink(path)
        }
        // Another name of the same file, as `cp -l` makes them.
        try MetricsLog(path: path).append(metrics(1))
        #expect(link(path, target) == 0)
        try MetricsLog(path: path, resumingAfter: 0).append(metrics(7))
        #expect(try MetricsLog.read(path: path) == [metrics(7)])
        #expect(try MetricsLog.read(path: target) == [metrics(1)])
    }

    @Test("A path that cannot be written is named")
    func placesThatCannotBeWritten() {
        expectError("\(folder.path)/none/metrics.jsonl: cannot be opened for writing: No such file or directory") {
            try MetricsLog(path: folder.path + "/none/metrics.jsonl")
        }
        expectError("\(folder.path): cannot be opened for writing: Is a directory") {
            try MetricsLog(path: folder.path)
        }
        #expect(mkfifo(path, 0o600) == 0)
        expectError("\(path): is not a regular file") { try MetricsLog(path: path) }
    }

    // MARK: Bits

    @Test("Bits per byte count the bytes of characters")
    func bitsPerByteOfBytesAndCharacters() throws {
        // Choosing evenly among 256 bytes takes 8 bits, among 2 characters of 3 bytes each a third of a bit a byte.
        #expect(abs(bitsPerByte(loss: log(256), tokens: 10, bytes: 10) - 8) < 1e-14)
        let text = try TextSource("€₤€", name: "text")
        let tokens = try CharacterTokenizer(learningFrom: [text]).tokens(of: text)
        let bits = try bitsPerByte(loss: log(2), tokens: tokens.count, bytes: tokens.byteCount())
        #expect(abs(bits - 1.0 / 3) < 1e-15)
    }
}
