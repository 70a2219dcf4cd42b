import Foundation
import Tensors
import Testing
import Trainer

@Suite struct SamplesLogTests {
    let folder: TemporaryFolder
    let path: String

    init() throws {
        folder = try TemporaryFolder()
        path = folder.path + "/samples.jsonl"
    }

    private func sample(_ step: Int) -> Sample { Sample(step: step, prompt: "once\n", text: "\"upon\" \u{FFFD}\u{1}é") }

    @Test("Each sample is one line of JSON")
    func aLineASample() throws {
        let log = try SamplesLog(path: path, resumingAfter: 0)
        try log.append(sample(10))
        try log.append(sample(20))
        let line = #"{"step":10,"prompt":"once\n","text":"\"upon\" "# + "\u{FFFD}" + #"\u0001é"}"#
        #expect(try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").first! == line)
        #expect(try SamplesLog.read(path: path) == [sample(10), sample(20)])
    }

    @Test(
        "Resume drops the samples of later steps",
        arguments: [(0, []), (9, []), (10, [10]), (25, [10, 20]), (99, [10, 20, 30])])
    func resumingDropsLaterSamples(step: Int, kept: [Int]) throws {
        let before = try SamplesLog(path: path, resumingAfter: 0)
        for step in [10, 20, 30] { try before.append(sample(step)) }
        try SamplesLog(path: path, resumingAfter: step).append(sample(step + 1))
        #expect(try SamplesLog.read(path: path).map(\.step) == kept + [step + 1])
    }

    @Test("An incomplete last line is ignored")
    func aLineThatWasCutOffIsIgnored() throws {
        try SamplesLog(path: path, resumingAfter: 0).append(sample(1))
        try folder.write(String(contentsOfFile: path, encoding: .utf8) + #"{"step":2,"pro"#, "samples.jsonl")
        #expect(try SamplesLog.read(path: path) == [sample(1)])
        try SamplesLog(path: path, resumingAfter: 5).append(sample(2))
        #expect(try SamplesLog.read(path: path) == [sample(1), sample(2)])
    }

    @Test("A missing file holds no samples")
    func noFileIsNoSamples() throws {
        #expect(try SamplesLog.read(path: path) == [])
    }

    @Test(
        "A broken line is named, and left out on resume",
        arguments: [
            (#"{"step":1,"prompt":"a"}"#, #": "text": is missing; expected a string"#),
            (
                #"{"step":-1,"prompt":"a","text":""}"#,
                #": "step": expected a whole number from 0 to 1099511627776, found -1"#
            ),
            ("", ": is empty; expected JSON"),
        ])
    func brokenLines(line: String, problem: String) throws {
        try SamplesLog(path: path, resumingAfter: 0).append(sample(1))
        try folder.write(String(contentsOfFile: path, encoding: .utf8) + line + "\n", "samples.jsonl")
        expectError("\(path), line 2\(problem)") { try SamplesLog.read(path: path) }
        var warnings: [String] = []
        try SamplesLog(path: path, resumingAfter: 5, warn: { warnings.append($0) }).append(sample(6))
        #expect(warnings == ["\(path), line 2\(problem); left out"])
        #expect(try SamplesLog.read(path: path) == [sample(1), sample(6)])
    }

    @Test("A path that cannot be written is named")
    func placesThatCannotBeWritten() {
        expectError("\(folder.path)/none/samples.jsonl: cannot be opened for writing: No such file or directory") {
            try SamplesLog(path: folder.path + "/none/samples.jsonl", resumingAfter: 0)
        }
    }
}
