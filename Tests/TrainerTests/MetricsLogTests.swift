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

    @Test func aLineAStep() throws {
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

    @Test func openedAgainItGoesOn() throws {
        try MetricsLog(path: path).append(metrics(1))
        try MetricsLog(path: path).append(metrics(2))
        #expect(try MetricsLog.read(path: path) == [metrics(1), metrics(2)])
    }

    @Test func infinityAndNaNAreNull() throws {
        var diverged = metrics(1)
        diverged.loss = .nan
        diverged.gradientNorm = .infinity
        try MetricsLog(path: path).append(diverged)
        #expect(try content().contains(#""loss":null,"#))
        let read = try #require(try MetricsLog.read(path: path).first)
        #expect(read.loss.isNaN && read.gradientNorm.isNaN)
        #expect(read.seconds == 1.5)
    }

    @Test(arguments: [(0, 0), (1, 1), (3, 3), (4, 3), (5, 5), (9, 5)])
    func resumingDropsLaterSteps(step: Int, kept: Int) throws {
        let before = try MetricsLog(path: path)
        for step in [1, 2, 3, 5] { try before.append(metrics(step)) }
        let log = try MetricsLog(path: path, resumingAfter: step)
        try log.append(metrics(100))
        let steps = [1, 2, 3, 5].filter { $0 <= kept } + [100]
        #expect(try MetricsLog.read(path: path).map(\.step) == steps)
    }

    @Test(arguments: [nil, 2])
    func aLineThatWasCutOffIsIgnored(step: Int?) throws {
        try MetricsLog(path: path).append(metrics(1))
        let whole = try content()
        try folder.write(whole + #"{"step":2,"tok"#, "metrics.jsonl")
        #expect(try MetricsLog.read(path: path) == [metrics(1)])
        try MetricsLog(path: path, resumingAfter: step).append(metrics(2))
        #expect(try MetricsLog.read(path: path) == [metrics(1), metrics(2)])
    }

    @Test func emptyAndNewLogs() throws {
        _ = try MetricsLog(path: path, resumingAfter: 7)
        #expect(try MetricsLog.read(path: path) == [])
        try folder.write(#"{"step":1"#, "metrics.jsonl")  // cut off in the first line
        #expect(try MetricsLog.read(path: path) == [])
    }

    @Test func otherWritersColumnsAndOrder() throws {
        let line =
            #"{"note": 7, "loss": 1, "step": 3.0, "tokens": 5, "bits_per_byte": null, "learning_rate": 1e-3, "#
            + #""gradient_norm": 0, "tokens_per_second": 9, "seconds": 2}"#
        try folder.write(line + "\n", "metrics.jsonl")
        let read = try #require(try MetricsLog.read(path: path).first)
        #expect(read.step == 3 && read.loss == 1 && read.learningRate == 1e-3 && read.extra == ["note": 7])
    }

    // MARK: What is no log

    @Test(arguments: [
        (#"{"step":1}"#, #": "tokens" is missing; expected a whole number"#),
        (#"{"step":1,"tokens":2}"#, #": "loss" is missing; expected a number or null"#),
        (#"{"step":1.5,"tokens":2}"#, #": "step": expected a whole number, found 1.5"#),
        (#"{"step":1,"tokens":2,"loss":"low"}"#, #": "loss": expected a number or null, found "low""#),
        ("[]", #": "step" is missing; expected a whole number"#),
        ("", ": is empty; expected JSON"),
        (#"{"step" 1}"#, #", line 1, column 9: not valid JSON: expected ":" after the key "step", found "1""#),
    ])
    func brokenLines(line: String, problem: String) throws {
        try MetricsLog(path: path).append(metrics(1))
        try folder.write(try content() + line + "\n", "metrics.jsonl")
        expectError("\(path), line 2\(problem)") { try MetricsLog.read(path: path) }
        expectError("\(path), line 2\(problem)") { try MetricsLog(path: path, resumingAfter: 5) }
    }

    @Test func placesThatCannotBeWritten() {
        expectError("\(folder.path)/none/metrics.jsonl: cannot be opened for writing: No such file or directory") {
            try MetricsLog(path: folder.path + "/none/metrics.jsonl")
        }
        expectError("\(folder.path): cannot be opened for writing: Is a directory") {
            try MetricsLog(path: folder.path)
        }
    }

    // MARK: Bits

    @Test func bitsPerByteOfBytesAndCharacters() throws {
        // Choosing evenly among 256 bytes takes 8 bits, among 2 characters of 3 bytes each a third of a bit a byte.
        #expect(abs(bitsPerByte(loss: log(256), tokens: 10, bytes: 10) - 8) < 1e-14)
        let text = try TextSource("€₤€", name: "text")
        let tokens = try CharacterTokenizer(learningFrom: [text]).tokens(of: text)
        let bits = try bitsPerByte(loss: log(2), tokens: tokens.count, bytes: tokens.byteCount())
        #expect(abs(bits - 1.0 / 3) < 1e-15)
    }
}
