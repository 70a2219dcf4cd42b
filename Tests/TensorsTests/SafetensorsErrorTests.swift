import Foundation
import Tensors
import Testing

/// Each refusal of a broken file, by its message; FILE stands for the path.
@Suite struct SafetensorsErrorTests {
    private func message(_ bytes: [UInt8], sourceLocation: SourceLocation = #_sourceLocation) throws -> String? {
        try withTemporaryFolder { folder in
            let path = folder + "/test.safetensors"
            try AtomicFile.write(bytes, to: path)
            return inputErrorMessage(sourceLocation: sourceLocation) { _ = try SafetensorsFile(path: path) }?
                .replacingOccurrences(of: path, with: "FILE")
        }
    }

    @Test("A path that cannot be read is named")
    func filesThatCannotBeRead() throws {
        try withTemporaryFolder { folder in
            #expect(
                inputErrorMessage { _ = try SafetensorsFile(path: folder + "/none") }
                    == "\(folder)/none: cannot be read: No such file or directory")
            #expect(
                inputErrorMessage { _ = try SafetensorsFile(path: folder) }
                    == "\(folder): is a folder; expected a file")
        }
    }

    @Test("A wrong length of the header is named")
    func headerLength() throws {
        #expect(
            try message(Array(pythonFile.prefix(7))) == "FILE: has 7 bytes; expected a safetensors file, of 8 or more")
        #expect(
            try message(Array("GARBAGE of another kind".utf8))
                == "FILE: header length 2325343128217862471 is over the limit of 100000000 bytes; expected a safetensors file"
        )
        #expect(
            try message(withUnsafeBytes(of: UInt64(100_000_001).littleEndian, Array.init))
                == "FILE: header length 100000001 is over the limit of 100000000 bytes; expected a safetensors file")
        #expect(
            try message([UInt8](repeating: 0xFF, count: 30))
                == "FILE: header length 18446744073709551615 is over the limit of 100000000 bytes; expected a safetensors file"
        )
        #expect(
            try message(withUnsafeBytes(of: UInt64(100_000_000).littleEndian, Array.init))
                == "FILE: truncated: header of 100000000 bytes in a file of 8; expected 100000008 or more")
        #expect(
            try message(Array(pythonFile.prefix(503)))
                == "FILE: truncated: header of 496 bytes in a file of 503; expected 504 or more")
    }

    @Test("Truncated and trailing data are named")
    func truncatedAndTrailingData() throws {
        #expect(
            try message(Array(pythonFile.dropLast()))
                == #"FILE: tensor "mask": ends at byte 77 of the data, of which the file has 76; truncated?"#)
        #expect(
            try message(Array(pythonFile.prefix(504)))
                == #"FILE: tensor "tokens": ends at byte 32 of the data, of which the file has 0; truncated?"#)
        #expect(
            try message(pythonFile + [0, 0])
                == "FILE: 2 bytes after the last tensor; expected the file to end with its data")
    }

    @Test("A header that is not UTF-8 is refused")
    func headerThatIsNotUTF8() throws {
        #expect(
            try message(safetensorsBytes(header: Array("{\"".utf8) + [0xC3, 0x28], data: []))
                == "FILE: header is not UTF-8; expected a JSON object")
    }

    @Test(
        "JSON that is broken or not of the format",
        arguments: [
            ("", #"header: is empty; expected JSON"#),
            ("[1]", #"header, line 1, column 1: not valid JSON: expected an object, found "[""#),
            ("{", #"header, line 1, column 2: not valid JSON: expected a key in double quotes, found the end"#),
            ("{é", #"header, line 1, column 2: not valid JSON: expected a key in double quotes, found "é""#),
            (#"{"a"}"#, #"header, line 1, column 5: not valid JSON: expected ":" after the key "a", found "}""#),
            ("{} x", #"header, line 1, column 4: not valid JSON: expected the end of the document, found "x""#),
            (
                "{}\0",
                "header, line 1, column 3: not valid JSON: expected the end of the document, found the end of the line"
            ),
            (#"{"a"#, #"header, line 1, column 2: not valid JSON: a string that does not end"#),
            (
                "{\"a\n\"",
                #"header, line 1, column 4: not valid JSON: a control character in a string; expected it escaped"#
            ),
            (#"{"\x"#, #"header, line 1, column 3: not valid JSON: an unknown escape in a string"#),
            (#"{"\"#, #"header, line 1, column 3: not valid JSON: an unknown escape in a string"#),
            (#"{"\u12G4"#, #"header, line 1, column 3: not valid JSON: an invalid \u escape"#),
            (#"{"\ud83d""#, #"header, line 1, column 3: not valid JSON: an invalid \u escape"#),
            (#"{"\ud83d\u0041""#, #"header, line 1, column 3: not valid JSON: an invalid \u escape"#),
            (#"{"\ude00\ud83d""#, #"header, line 1, column 3: not valid JSON: an invalid \u escape"#),
            (#"{"a":[]}"#, #"tensor "a": expected an object with dtype, shape and data_offsets, found the list []"#),
            (
                #"{"a":{"dtype":1,"shape":[],"data_offsets":[0,0]}}"#,
                #"tensor "a": expected dtype as a string, found 1"#
            ),
            (
                #"{"a":{"dtype":"U8","shape":2,"data_offsets":[0,0]}}"#,
                #"tensor "a": expected shape as a list of at most 64 integers, found 2"#
            ),
            (#"{"a":{"shape":[2 3]}}"#, #"header, line 1, column 18: not valid JSON: expected "," or "]", found "3""#),
            (
                #"{"a":{"dtype":"U8","shape":[-2],"data_offsets":[0,0]}}"#,
                #"tensor "a": shape: expected integers from 0 to 9223372036854775807, found -2"#
            ),
            (
                #"{"a":{"dtype":"U8","shape":[2.0],"data_offsets":[0,0]}}"#,
                #"tensor "a": shape: expected integers from 0 to 9223372036854775807, found 2.0"#
            ),
            (#"{"a":{"shape":[02]}}"#, #"header, line 1, column 17: not valid JSON: expected "," or "]", found "2""#),
            (
                #"{"a":{"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,0]}}"#,
                #"tensor "a": shape: expected integers from 0 to 9223372036854775807, found 9.223372036854776e+18"#
            ),
            (
                #"{"a":{"dtype":"U8","shape":[],"data_offsets":0}}"#,
                #"tensor "a": expected data_offsets as a list of at most 64 integers, found 0"#
            ),
            (
                #"{"a":{"dtype":"U8" "shape"#,
                #"header, line 1, column 20: not valid JSON: expected "," or "}", found "\"""#
            ),
            (#"{"__metadata__":[]}"#, #"__metadata__: expected an object of strings, found the list []"#),
            (#"{"__metadata__":{"k":1}}"#, #"__metadata__: expected strings, found 1"#),
            (
                String(repeating: "[", count: 100_000),
                #"header, line 1, column 1: not valid JSON: expected an object, found "[""#
            ),
        ])
    func json(header: String, expected: String) throws {
        #expect(try message(safetensorsBytes(header: Array(header.utf8), data: [])) == "FILE: " + expected)
    }

    @Test(
        "A key that comes twice is refused, however it is written",
        arguments: [
            (#"{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"\u0061":{}}"#, #"header: key "a""#),
            (#"{"__metadata__":{},"__metadata__":{}}"#, #"header: key "__metadata__""#),
        ])
    func duplicateKeys(header: String, expected: String) throws {
        #expect(
            try message(safetensorsBytes(header: Array(header.utf8), data: []))
                == "FILE: \(expected) stands twice; expected it once")
    }

    @Test(
        "So is one inside a tensor's entry or the metadata",
        arguments: [
            (#"{"a":{"dtype":"U8","dtype":"U8"}}"#, "dtype"), (#"{"__metadata__":{"k":"1","k":"1"}}"#, "k"),
            (#"{"a":{"dtype":"U8","shape":[9,9],"shape":[4],"data_offsets":[0,4]}}"#, "shape"),
        ])
    func duplicateFields(header: String, key: String) throws {
        let found = try message(safetensorsBytes(header: Array(header.utf8), data: []))
        #expect(found?.hasPrefix("FILE: header, line 1, column ") == true, "\(found ?? "")")
        #expect(found?.hasSuffix(#"the key "\#(key)" is given twice"#) == true, "\(found ?? "")")
    }

    /// The first tensor's fields, one per line: wrong in themselves, whatever the data.
    @Test(
        "Malformed entries are refused",
        arguments: [
            (
                #""dtype":"U8","shape":[4],"data_offsets":[0,4],"x":0"#,
                #"unknown field "x"; expected dtype, shape and data_offsets"#
            ),
            (#""shape":[4],"data_offsets":[0,4]"#, "no dtype; expected dtype, shape and data_offsets"),
            (#""dtype":"U8","data_offsets":[0,4]"#, "no shape; expected dtype, shape and data_offsets"),
            (#""dtype":"U8","shape":[4]"#, "no data_offsets; expected dtype, shape and data_offsets"),
            (
                #""dtype":"F8_E4M3","shape":[3],"data_offsets":[0,4]"#,
                "data_offsets [0, 4] hold 4 bytes; expected 3 for F8_E4M3 [3]"
            ),
            (
                #""dtype":"C64","shape":[1],"data_offsets":[0,4]"#,
                "data_offsets [0, 4] hold 4 bytes; expected 8 for C64 [1]"
            ),
            (#""dtype":"F4","shape":[7],"data_offsets":[0,4]"#, "shape [7] of F4 fills no whole bytes"),
            (
                #""dtype":"F6_E2M3","shape":[4],"data_offsets":[0,4]"#,
                "data_offsets [0, 4] hold 4 bytes; expected 3 for F6_E2M3 [4]"
            ),
            (
                #""dtype":"Q1","shape":[4294967296,4294967296],"data_offsets":[0,4]"#,
                "shape [4294967296, 4294967296] overflows; expected at most 9223372036854775807 bytes"
            ),
            (
                #""dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]"#,
                "shape [4294967296, 4294967296] overflows; expected at most 9223372036854775807 bytes"
            ),
            (
                #""dtype":"F64","shape":[9223372036854775807],"data_offsets":[0,4]"#,
                "shape [9223372036854775807] overflows; expected at most 9223372036854775807 bytes"
            ),
            (#""dtype":"U8","shape":[4],"data_offsets":[0]"#, "data_offsets [0] has 1 numbers; expected [begin, end]"),
            (#""dtype":"U8","shape":[4],"data_offsets":[]"#, "data_offsets [] has 0 numbers; expected [begin, end]"),
            (
                #""dtype":"U8","shape":[4],"data_offsets":[0,2,4]"#,
                "data_offsets [0, 2, 4] has 3 numbers; expected [begin, end]"
            ),
            (
                #""dtype":"U8","shape":[4],"data_offsets":[4,0]"#,
                "data_offsets [4, 0] are reversed; expected [begin, end]"
            ),
            (
                #""dtype":"U8","shape":[3],"data_offsets":[0,4]"#,
                "data_offsets [0, 4] hold 4 bytes; expected 3 for U8 [3]"
            ),
            (
                #""dtype":"F32","shape":[],"data_offsets":[0,0]"#,
                "data_offsets [0, 0] hold 0 bytes; expected 4 for F32 []"
            ),
            (
                #""dtype":"U8","shape":[1],"data_offsets":[9223372036854775806,9223372036854775807]"#,
                "data_offsets [9223372036854775806, 9223372036854775807] overflow"
            ),
            (
                #""dtype":"U8","shape":[4],"data_offsets":[4,8]"#,
                "ends at byte 8 of the data, of which the file has 4; truncated?"
            ),
        ])
    func entries(fields: String, expected: String) throws {
        let bytes = safetensorsBytes(header: Array(#"{"a\n":{\#(fields)}}"#.utf8), data: [1, 2, 3, 4])
        #expect(try message(bytes) == #"FILE: tensor "a\n": "# + expected)
    }

    /// A message is a line to be read, also where a header was made to be long.
    @Test("Names, shapes and types of any length give short messages")
    func longParts() throws {
        let long = String(repeating: "é", count: 40_000)
        let marks = String(repeating: "\u{323}", count: 16)
        let fields = #""shape":[1],"data_offsets":[0,1]"#
        let ones = Array(repeating: "1", count: 65).joined(separator: ",")
        for (header, expected) in [
            (
                #"{"\#(long)":{}}"#,
                "FILE: header, line 1, column 2: not valid JSON: a key of 80000 bytes; expected at most 65536"
            ),
            (
                #"{"e\#(marks)\#(marks)":{}}"#,
                "FILE: header, line 1, column 2: not valid JSON: a key with more than 30 combining marks in a row"
            ),
            (#"{"a":{"dtype":"\#(long)","shape":[]}}"#, #"FILE: tensor "a": no data_offsets"#),
            (#"{"a":{"dtype":1,"\#(long.prefix(9000))":1}}"#, #"FILE: tensor "a": unknown field "éé"#),
            (#"{"a":{"\#(long.prefix(9000))":1}}"#, #"FILE: tensor "a": unknown field "éé"#),
            (#"{"\#(long.prefix(9000))":{\#(fields)}}"#, #"FILE: tensor "éé"#),
            (
                #"{"a":{"dtype":"U8","data_offsets":[0,1],"shape":[\#(ones)]}}"#,
                #"FILE: tensor "a": expected shape as a list of at most 64 integers, found a list"#
            ),
            (
                #"{"__metadata__":{"\#(long)":"1"}}"#,
                "FILE: header, line 1, column 18: not valid JSON: a key of 80000 bytes"
            ),
        ] {
            let message = try #require(try message(safetensorsBytes(header: Array(header.utf8), data: [1])))
            #expect(message.hasPrefix(expected), "\(message)")
            #expect(message.utf8.count < 1500)
        }
    }

    @Test(
        "Tensors that do not cover the data exactly are refused",
        arguments: [
            ([("a", 0, 4), ("b", 3, 8)], #"tensor "b": begins at byte 3, inside tensor "a""#),
            ([("b", 3, 8), ("a", 0, 4)], #"tensor "b": begins at byte 3, inside tensor "a""#),
            ([("a", 0, 8), ("b", 0, 8)], #"tensor "b": begins at byte 0, inside tensor "a""#),
            ([("a", 0, 8), ("b", 4, 4)], #"tensor "b": begins at byte 4, inside tensor "a""#),
            ([("a", 0, 3), ("b", 4, 8)], #"tensor "b": begins at byte 4; expected 3, where the bytes before it end"#),
            ([("a", 1, 8)], #"tensor "a": begins at byte 1; expected 0, where the bytes before it end"#),
            ([("a", 0, 7)], "1 bytes after the last tensor; expected the file to end with its data"),
            ([], "8 bytes after the last tensor; expected the file to end with its data"),
        ] as [([(String, Int, Int)], String)])
    func coverage(ranges: [(String, Int, Int)], expected: String) throws {
        let members = ranges.map { name, begin, end in
            #""\#(name)":{"dtype":"U8","shape":[\#(end - begin)],"data_offsets":[\#(begin),\#(end)]}"#
        }
        let header = "{\(members.joined(separator: ","))}"
        let bytes = safetensorsBytes(header: Array(header.utf8), data: [UInt8](repeating: 1, count: 8))
        #expect(try message(bytes) == "FILE: " + expected)
    }
}

@Suite struct InputErrorTests {
    @Test(
        "An error is one line whatever names from outside hold",
        arguments: ["\n", "\r", "\u{7F}", "\u{84}", "\u{1B}[2J"])
    func oneLine(control: String) {
        let message = InputError("a\(control)b: expected é, 字").message
        #expect(!message.unicodeScalars.contains { $0.properties.generalCategory == .control })
        #expect(message.hasPrefix("a\\u{") && message.hasSuffix("b: expected é, 字"))
    }
}
