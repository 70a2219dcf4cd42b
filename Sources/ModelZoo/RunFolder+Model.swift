import Trainer

extension RunFolder {
    /// Makes the model of a run, with initial parameters: `load(from: currentWeightsPath())` gives it those it has learned.
    /// - Throws: `InputError` that names the file and the key of its configuration that is wrong.
    public func makeModel(_ run: RunConfiguration) throws -> any LanguageModel {
        guard ModelZoo.identifiers.contains(run.origin.model) else {
            throw InputError(
                "\(configurationPath): \"model\": expected one of \(ModelZoo.identifiers.joined(separator: ", ")),"
                    + " found \(JSONValue.quoted(run.origin.model))")
        }
        return try ModelZoo.architecture(run.origin.model).makeModel(
            run.origin.configuration, file: "\(configurationPath), configuration", key: RandomKey(seed: 0))
    }
}
