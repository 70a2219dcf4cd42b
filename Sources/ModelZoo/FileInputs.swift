/// Readers of files that a fuzzer calls. It is a package of its own, to which the types that they read with are not visible.
@_spi(Inputs) public enum FileInputs {
    /// Reads JSON, and ends the process where what is printed of it is not read as the same.
    /// - Throws: `InputError` where the bytes are no JSON.
    public static func readJSON(_ bytes: [UInt8], file: String) throws {
        let value = try JSONValue(parsing: bytes, file: file)
        for printed in [value.description, value.indented] {
            let again = try? JSONValue(parsing: printed.utf8, file: "printed")
            require(again == value, "JSON is not what was printed: \(printed)")
        }
    }

    /// Makes the model of a file `{"model": ID, "configuration": {…}}`.
    /// - Returns: nil where a number of it is too large for a model that takes no time.
    /// - Throws: `InputError` where the file is no such document or the configuration no model's.
    public static func makeSmallModel(path: String, key: RandomKey) throws -> (any LanguageModel)? {
        var reader = try ConfigurationReader(path: path)
        let architecture = try Zoo.architecture(reader.string("model"))
        let configuration = reader.value("configuration") ?? .null
        guard configuration.isSmall else { return nil }
        return try architecture.makeModel(configuration, file: path, key: key)
    }
}

extension JSONValue {
    /// True if all numbers are small enough for a model that takes no time.
    fileprivate var isSmall: Bool {
        switch self {
        case .integer(let value): abs(value) <= 16
        case .number(let value): abs(value) <= 16
        case .array(let values): values.count <= 16 && values.allSatisfy(\.isSmall)
        case .object(let members): members.values.allSatisfy(\.isSmall)
        default: true
        }
    }
}
