import AttentionZooTestSupport
import Foundation
import NN
import Tensors
import Testing

@Suite struct ConfigurationReaderTests {
    private func reader(_ json: String) throws -> ConfigurationReader {
        try ConfigurationReader(data: Data(json.utf8), file: "config.json")
    }

    /// The message of the error that reading `json` throws.
    private func message(
        _ json: String, sourceLocation: SourceLocation = #_sourceLocation,
        _ read: (inout ConfigurationReader) throws -> Void = { _ in }
    ) -> String {
        do {
            var reader = try reader(json)
            try read(&reader)
        } catch {
            return "\(error)"
        }
        Issue.record("no error was thrown", sourceLocation: sourceLocation)
        return ""
    }

    enum Norm: String, CaseIterable {
        case layerNorm = "layernorm"
        case scaleNorm = "scalenorm"
    }

    // MARK: Values

    @Test("Every kind of value is read")
    func readsEveryKind() throws {
        var reader = try reader(
            #"""
            {"dim": 512, "depth": 8.0, "dropout": 0.25, "scale": 2, "causal": true, "norm_type": "scalenorm",
             "name": "a \"b\" \u00e9\ud83d\ude00", "windows": [128, 64.0], "nothing": null, "nested": {"a": [1, {}]}}
            """#)
        #expect(try reader.int("dim", in: 1...) == 512)
        #expect(try reader.int("depth", default: 1, in: 1..<100) == 8)
        #expect(try reader.double("dropout", in: 0..<1) == 0.25)
        #expect(try reader.double("scale", in: 0...) == 2)
        #expect(try reader.bool("causal"))
        #expect(try reader.option("norm_type", default: .layerNorm) == Norm.scaleNorm)
        #expect(try reader.string("name") == "a \"b\" é😀")
        #expect(try reader.ints("windows", count: 2, in: 1...) == [128, 64])
        #expect(try reader.int("nothing", default: 7) == 7)
        #expect(reader.value("nested") == .object(["a": .array([.integer(1), .object([:])])]))
        try reader.finish()
    }

    @Test("Absent and null keys have their defaults")
    func leftOutAndNullKeysHaveTheirDefaults() throws {
        for json in ["{}", #"{"a":null,"b":null,"c":null,"d":null,"e":null,"f":null}"#] {
            var reader = try reader(json)
            #expect(try reader.int("a", default: 3, in: 5...) == 3)  // a default need not lie in the range
            #expect(try reader.double("b", default: 0.5) == 0.5)
            #expect(try reader.bool("c", default: true))
            #expect(try reader.string("d", default: "x", oneOf: ["x", "y"]) == "x")
            #expect(try reader.ints("e", default: [1]) == [1])
            #expect(try reader.option("f", default: Norm.layerNorm) == .layerNorm)
            #expect(try reader.optionalInt("a") == nil)
            #expect(try reader.optionalDouble("b") == nil)
            #expect(try reader.optionalBool("c") == nil)
            #expect(try reader.optionalString("d") == nil)
            #expect(try reader.optionalInts("e") == nil)
            #expect(reader.value("f") == nil)
            try reader.finish()
        }
    }

    @Test("Whole numbers are exact to the last bit")
    func wholeNumbersUpToTheLastBit() throws {
        var reader = try reader("{\"a\": 9223372036854775807, \"b\": -9223372036854775808, \"c\": 1e3}")
        #expect(try reader.int("a") == Int.max)
        #expect(try reader.int("b") == Int.min)
        #expect(try reader.int("c") == 1000)
    }

    // MARK: Values that do not belong

    @Test("A wrong type is named with what was expected and found")
    func wrongTypesSayWhatWasExpectedAndFound() {
        #expect(
            message(#"{"dim": "512"}"#) { _ = try $0.int("dim", default: 1, in: 1...) }
                == #"config.json: "dim": expected a whole number of at least 1, found the string "512""#)
        #expect(
            message(#"{"dim": 2.5}"#) { _ = try $0.int("dim") }
                == #"config.json: "dim": expected a whole number, found 2.5"#)
        #expect(
            message(#"{"dim": 1e30}"#) { _ = try $0.int("dim") }
                == #"config.json: "dim": expected a whole number, found 1e+30"#)
        #expect(
            message(#"{"dim": true}"#) { _ = try $0.int("dim") }
                == #"config.json: "dim": expected a whole number, found true"#)
        #expect(
            message(#"{"dropout": false}"#) { _ = try $0.double("dropout", in: 0...1) }
                == #"config.json: "dropout": expected a number from 0.0 to 1.0, found false"#)
        #expect(
            message(#"{"causal": 1}"#) { _ = try $0.bool("causal") }
                == #"config.json: "causal": expected true or false, found 1"#)
        #expect(
            message(#"{"name": {"a": 1}}"#) { _ = try $0.string("name") }
                == #"config.json: "name": expected a string, found an object"#)
        #expect(
            message(#"{"windows": [1, "2"]}"#) { _ = try $0.ints("windows") }
                == #"config.json: "windows": expected a list of whole numbers, found the list [1, "2"]"#)
        #expect(
            message(#"{"windows": [1, 0]}"#) { _ = try $0.ints("windows", count: 2, in: 1...) }
                == #"config.json: "windows": expected a list of 2 whole numbers, each of at least 1, "#
                + "found the list [1, 0]")
    }

    @Test("A value out of range is named with the range")
    func valuesOutsideTheRange() {
        #expect(
            message(#"{"dim": 0}"#) { _ = try $0.int("dim", in: 1...) }
                == #"config.json: "dim": expected a whole number of at least 1, found 0"#)
        #expect(
            message(#"{"dim": 9}"#) { _ = try $0.optionalInt("dim", in: 1...8) }
                == #"config.json: "dim": expected a whole number from 1 to 8, found 9"#)
        #expect(
            message(#"{"dim": 9}"#) { _ = try $0.int("dim", in: ...8) }
                == #"config.json: "dim": expected a whole number of at most 8, found 9"#)
        #expect(
            message(#"{"dropout": 1}"#) { _ = try $0.double("dropout", in: 0..<1) }
                == #"config.json: "dropout": expected a number of at least 0.0 and below 1.0, found 1"#)
        #expect(
            message(#"{"eps": 0}"#) { _ = try $0.double("eps", in: .leastNormalMagnitude...) }
                == #"config.json: "eps": expected a number above 0, found 0"#)
        #expect(
            message(#"{"norm_type": "layer_norm"}"#) { _ = try $0.option("norm_type", default: Norm.scaleNorm) }
                == #"config.json: "norm_type": expected one of "layernorm", "scalenorm", found "layer_norm"; "#
                + #"did you mean "layernorm"?"#)
        #expect(
            message(#"{"act": "swish"}"#) { _ = try $0.string("act", oneOf: ["relu", "laplace"]) }
                == #"config.json: "act": expected one of "relu", "laplace", found "swish""#)
    }

    @Test("A missing required key is named, with a similar one that is there")
    func requiredKeys() {
        #expect(
            message("{}") { _ = try $0.int("dim", in: 1...) }
                == #"config.json: "dim": is missing; expected a whole number of at least 1"#)
        #expect(
            message(#"{"dim": 8, "depht": 2}"#) {
                _ = try $0.int("dim")
                _ = try $0.int("depth", in: 1...)
            } == #"config.json: "depth": is missing; expected a whole number of at least 1 (there is a "depht")"#)
        #expect(
            message(#"{"causal": null}"#) { _ = try $0.bool("causal") }
                == #"config.json: "causal": is missing; expected true or false"#)
        #expect(
            message("{}") { _ = try $0.option("norm_type") as Norm }
                == #"config.json: "norm_type": is missing; expected one of "layernorm", "scalenorm""#)
    }

    @Test("An unknown key is named with the nearest known one")
    func unknownKeysNameTheNearestKnownOne() {
        func read(_ reader: inout ConfigurationReader) throws {
            _ = try reader.int("dim", default: 1)
            _ = try reader.int("group_size", default: 1)
            _ = try reader.int("group_size", default: 1)  // asking twice does not list a key twice
            try reader.finish()
        }
        #expect(
            message(#"{"dim": 1, "gruop_size": 2}"#, read)
                == #"config.json: unknown key "gruop_size" (did you mean "group_size"?); known keys: dim, group_size"#)
        #expect(
            message(#"{"zzzzzz": 1, "Dim": 2}"#, read)
                == #"config.json: unknown keys "Dim" (did you mean "dim"?), "zzzzzz"; known keys: dim, group_size"#)
        // Of a file that is no configuration the first unknown keys say enough.
        let many = "{" + (10..<60).map { "\"key\($0)\": 1" }.joined(separator: ", ") + "}"
        #expect(message(many, read).contains(#""key28", "key29" and 30 more; known keys: dim, group_size"#))
        let masses = "{" + (0...10_000).map { "\"key\($0)\": 1" }.joined(separator: ", ") + "}"
        #expect(message(masses) == "config.json: has 10001 keys; expected a configuration of at most 10000")
        #expect(message(#"{"color": null}"#, read).contains(#"unknown key "color""#))
    }

    @Test("A caller's own error names file and key")
    func ownProblemsSpeakTheSameWay() throws {
        let error = try reader("{}").error("heads", "must divide dim, 512; found 7")
        #expect(error == InputError(#"config.json: "heads": must divide dim, 512; found 7"#))
    }

    @Test("A document that is no object is refused")
    func aDocumentThatIsNoObject() {
        #expect(message("[1]") == #"config.json: expected a JSON object such as {"dim": 512}, found the list [1]"#)
    }

    @Test("Errors name the file")
    func filesAreNamedInErrors() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/reader.json"
        #expect(throws: InputError("\(path): cannot be read: No such file or directory")) {
            try ConfigurationReader(path: path)
        }
        try folder.write(Data(#"{"dim": 3}"#.utf8), "reader.json")
        var reader = try ConfigurationReader(path: path)
        #expect(try reader.int("dim") == 3)
        #expect(reader.file == path)
    }
}
