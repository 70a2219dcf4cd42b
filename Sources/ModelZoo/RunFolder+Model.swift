import Trainer

extension RunFolder {
    /// Makes the model of a run, with initial parameters: `load(from: currentWeightsPath())` gives it those it has learned.
    /// - Throws: `InputError` that names the file and the key of its configuration that is wrong.
    public func makeModel(_ run: RunConfiguration) throws -> any LanguageModel {
        guard Zoo.identifiers.contains(run.origin.model) else {
            throw InputError(
                "\(configurationPath): \"model\": expected one of \(Zoo.identifiers.joined(separator: ", ")),"
                    + " found \(JSONValue.quoted(run.origin.model))")
        }
        return try Zoo.architecture(run.origin.model).makeModel(
            run.origin.configuration, file: "\(configurationPath), configuration", key: RandomKey(seed: 0))
    }
}
