import Foundation
import Tensors
import Testing

@Suite struct JSONValueTests {
    @Test(
        "Malformed documents are named with line, column, and problem",
        arguments: [
            ("{\n \"a\": 1,\n \"b\" 2}", 3, 6, #"expected ":" after the key "b", found "2""#),
            (#"{"a": 1,}"#, 1, 9, #"expected a key in double quotes, found "}""#),
            (#"{"a": [1,]}"#, 1, 10, #"expected a value, found "]""#),
            (#"{"a": 1"#, 1, 8, #"expected "," or "}", found the end"#),
            ("{\"a\":\n", 2, 1, "expected a value, found the end"),
            ("[1\n\u{1}]", 2, 1, #"expected "," or "]", found the end of the line"#),
            ("{\"a\": 1}\n x", 2, 2, #"expected the end of the document, found "x""#),
            ("{\"é\": 1,\n\"é\": 2}", 2, 1, #"the key "é" is given twice"#),
            ("{\"é\": 'x'}", 1, 7, #"expected a value, found "'""#),
            (#"{"a": NaN}"#, 1, 7, #"expected a value, found "N""#),
            (#"{"a": 01}"#, 1, 8, #"expected "," or "}", found "1""#),
            (#"{"a": 1.}"#, 1, 9, #"expected a digit, found "}""#),
            (#"{"a": -}"#, 1, 8, #"expected a digit, found "}""#),
            (#"{"a": 1e400}"#, 1, 7, "1e400 is larger than a number can be"),
            (#"{"a": "x"#, 1, 7, "a string that does not end"),
            ("{\"a\": \"x\ny\"}", 1, 9, "a control character in a string; expected it escaped"),
            (#"{"a": "\x"}"#, 1, 8, "an unknown escape in a string"),
            (#"{"a": "\ud800"}"#, 1, 8, #"an invalid \u escape"#),
            (#"{"a": "\u12g4"}"#, 1, 8, #"an invalid \u escape"#),
            ("// no\n{}", 1, 1, #"expected a value, found "/""#),
        ])
    func malformedDocuments(json: String, line: Int, column: Int, problem: String) {
        #expect(throws: InputError("config.json, line \(line), column \(column): not valid JSON: \(problem)")) {
            try JSONValue(parsing: json.utf8, file: "config.json")
        }
    }

    @Test("Keys and numbers of any length give short messages, and a document of any size is refused")
    func longParts() throws {
        func message(_ json: String) -> String {
            let error = #expect(throws: InputError.self) { try JSONValue(parsing: json.utf8, file: "x.json") }
            return error?.message ?? ""
        }
        let long = String(repeating: "é", count: 40_000)
        #expect(
            message("{\"\(long)\": 1}")
                == "x.json, line 1, column 2: not valid JSON: a key of 80000 bytes; expected at most 65536")
        let name = String(repeating: "k", count: 9000)
        let shown = String(repeating: "k", count: 100) + "…"
        #expect(message("{\"\(name)\": 1, \"\(name)\": 1}").hasSuffix("the key \"\(shown)\" is given twice"))
        #expect(message("{\"\(name)\" 1}").hasSuffix("expected \":\" after the key \"\(shown)\", found \"1\""))
        let digits = String(repeating: "9", count: 9000)
        #expect(message(digits).hasSuffix(String(repeating: "9", count: 100) + "… is larger than a number can be"))
        let spaces = [UInt8](repeating: 0x20, count: 1 << 26 + 1)
        let error = #expect(throws: InputError.self) { try JSONValue(parsing: spaces, file: "x.json") }
        #expect(error?.message == "x.json: has 67108865 bytes; expected JSON of at most 67108864")
        #expect(try JSONValue(parsing: "\"\(long)\"".utf8, file: "x.json") == .string(long))
    }

    /// Hashing a string of marks takes the square of their number.
    @Test("Keys have at most 30 combining marks in a row")
    func marks() throws {
        let most = "e" + String(repeating: "\u{301}\u{323}", count: 15)
        #expect(
            try JSONValue(parsing: "{\"\(most)x\u{301}\": 1}".utf8, file: "x.json").objectValue?["\(most)x\u{301}"]
                == .integer(1))
        let problem = "x.json, line 1, column 2: not valid JSON: a key with more than 30 combining marks in a row"
        #expect(throws: InputError(problem)) {
            try JSONValue(parsing: "{\"\(most)\u{301}\": 1}".utf8, file: "x.json")
        }
        let long = String(repeating: "\u{301}\u{323}", count: 16_000)
        for _ in 0..<200 {
            #expect(throws: InputError(problem)) { try JSONValue(parsing: "{\"\(long)\": 1}".utf8, file: "x.json") }
        }
    }

    @Test("Empty documents are refused")
    func emptyDocuments() {
        for json in ["", " \n", "\u{FEFF}"] {
            #expect(throws: InputError("config.json: is empty; expected JSON")) {
                try JSONValue(parsing: json.utf8, file: "config.json")
            }
        }
    }

    @Test("Invalid UTF-8 and deep nesting are refused")
    func invalidUTF8AndDeepNesting() {
        #expect(throws: InputError("f, line 1, column 2: not valid JSON: a string that is not valid UTF-8")) {
            try JSONValue(parsing: [0x7B, 0x22, 0xFF, 0x22, 0x3A, 0x31, 0x7D], file: "f")
        }
        #expect(throws: InputError("f, line 1, column 201: not valid JSON: nested too deeply")) {
            try JSONValue(parsing: String(repeating: "[", count: 100_000).utf8, file: "f")
        }
    }

    @Test("A byte order mark is skipped")
    func byteOrderMarkIsSkipped() throws {
        #expect(try JSONValue(parsing: "\u{FEFF}[1]".utf8, file: "f") == .array([.integer(1)]))
    }

    @Test("A value's description is read back as the same value")
    func descriptionParsesBackToTheSameValue() throws {
        let value = JSONValue.object([
            "a\"\\\n\t\u{1}\u{7F}é😀": .array([
                .null, .bool(false), .integer(-3), .number(1.5e-7), .number(.greatestFiniteMagnitude),
            ]),
            "": .object(["x": .string("/")]),
        ])
        #expect(try JSONValue(parsing: "\(value)".utf8, file: "f") == value)
    }

    @Test("Random bytes never crash the parser")
    func randomBytesNeverCrash() {
        // The bytes JSON is made of, in any order: mostly errors, now and then a document.
        let alphabet = Array("{}[]\",:\\u0123eE+-.truefalsn \n\u{1}é".utf8)
        var generator = LinearCongruential()
        var documents = 0
        for _ in 0..<5000 {
            let bytes = (0..<Int.random(in: 1...12, using: &generator)).map { _ in
                alphabet.randomElement(using: &generator)!
            }
            if (try? JSONValue(parsing: bytes, file: "f")) != nil { documents += 1 }
        }
        #expect(documents > 0)
    }
}

/// A small linear congruential generator: what a fuzz test tries stays the same for ever.
private struct LinearCongruential: RandomNumberGenerator {
    var state: UInt64 = 1

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state ^ (state >> 32)
    }
}

@Suite struct JSONPrintingTests {
    @Test("Objects are printed over several lines, lists of simple values in one")
    func objectsGoOverSeveralLinesAndListsOfSimpleValuesDoNot() throws {
        let text = """
            {
              "a": {
                "empty": {},
                "list": [1, "two", null],
                "nested": [
                  [],
                  {
                    "x": 0.5
                  }
                ]
              },
              "b": true
            }
            """
        let value = try JSONValue(parsing: Array(text.utf8), file: "text")
        #expect(value.indented == text)
        #expect(JSONValue.string("a\nb").indented == "\"a\\nb\"")
    }

    @Test("A long list is printed one value a line")
    func longListsTakeALineAValue() throws {
        let long = JSONValue.array((0..<3).map { .string(String(repeating: "\($0)", count: 40)) })
        #expect(long.indented.split(separator: "\n").count == 5)
        #expect(try JSONValue(parsing: Array(long.indented.utf8), file: "text") == long)
    }
}

/// Output is valid JSON, whatever the numbers.
@Suite("JSON of numbers that are not finite") struct FiniteJSONTests {
    static let numbers: [Double] = [.nan, -.nan, .infinity, -.infinity, .signalingNaN]

    @Test("They are null, in one line and over several", arguments: numbers)
    func null(_ number: Double) throws {
        let value = JSONValue.object([
            "a": .number(number), "b": .array([.number(number), .number(0.5)]), "c": .object(["d": .number(number)]),
        ])
        let expected = JSONValue.object([
            "a": .null, "b": .array([.null, .number(0.5)]), "c": .object(["d": .null]),
        ])
        for text in [value.description, value.indented] {
            #expect(try JSONValue(parsing: text.utf8, file: "a test") == expected)
        }
    }

    private struct Sample: Encodable {
        var number: Double
        var float = Float.nan
        var list = [1, Double.infinity]
        var names = ["nan": "inf"]
        var none: Double?
    }

    @Test("So are those of encodable values", arguments: numbers)
    func encoded(_ number: Double) throws {
        #expect(
            try JSONValue.text(encoding: Sample(number: number))
                == "{\"float\":null,\"list\":[1,null],\"names\":{\"nan\":\"inf\"},\"number\":null}")
        let lines = try JSONValue.text(encoding: Sample(number: number), indented: true)
        #expect(try JSONValue(parsing: lines.utf8, file: "a test").objectValue?["number"] == .null)
        // Whole numbers beyond 2⁶³ stay what they are.
        #expect(try JSONValue.text(encoding: [UInt64.max]) == "[18446744073709551615]")
    }

    @Test("Finite numbers are read back as they are")
    func finite() throws {
        for number in [0.1, -2.5e-300, 1e300, 5e-324, .greatestFiniteMagnitude, 123_456.789] {
            let text = JSONValue.number(number).description
            #expect(try JSONValue(parsing: text.utf8, file: "a test") == .number(number))
        }
    }
}
