//! What validators and jurors hold a response to.

use assay_engine::{Engine, InputRefused};
use assay_protocol::{Digest, InferenceInput, InferenceResponse, hash_of, misdescribed_digest};

/// The right digest for a response to `input`: `f`'s at its count of output tokens; one that it can't have committed to where
/// it says something else of its output than is true, or `f` refuses the input and nobody may answer. An error is the machine's, not the input's.
pub(crate) fn right_digest(
    engine: &Engine,
    input: &[u8],
    response: &InferenceResponse,
) -> Result<Digest, InputRefused> {
    let started = InferenceInput::decode(input)
        .map_err(InputRefused::from)
        .and_then(|input| Ok((input.tokens.len(), engine.start(&input)?)));
    match started {
        Ok((prompt, generation)) => {
            let outcome = generation.finish_at(Some(response.outputTokens));
            Ok(match response.describes(prompt, &outcome.tokens, outcome.finish) {
                true => outcome.digest,
                false => misdescribed_digest(hash_of(response)),
            })
        }
        Err(error) if error.is_machines_fault() => Err(error),
        Err(_) => Ok(misdescribed_digest(hash_of(response))),
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;
    use assay_engine::{Model, Options};
    use assay_protocol::{Finish, Sampling, output_hash};

    use super::*;

    fn input(tokens: Vec<u32>) -> InferenceInput {
        InferenceInput { nonce: [1; 16], max_tokens: 6, sampling: Sampling::GREEDY, stop: vec![], tokens }
    }

    /// A token that the vocabulary lacks.
    fn input_outside(engine: &Engine) -> InferenceInput {
        input(vec![engine.model().info().vocabulary])
    }

    fn response(prompt: u32, tokens: &[u32], finish: Finish) -> InferenceResponse {
        InferenceResponse {
            request: B256::repeat_byte(1),
            commitment: B256::repeat_byte(2),
            outputHash: output_hash(tokens),
            promptTokens: prompt,
            outputTokens: tokens.len() as u32,
            finish: finish as u8,
            cancel: if finish == Finish::Cancelled { B256::repeat_byte(3) } else { B256::ZERO },
            round: 7,
        }
    }

    #[test]
    fn responses_are_held_to_what_they_say() -> Result<(), Box<dyn std::error::Error>> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/tales-300k.gguf");
        let engine = Engine::new(&Model::open(path)?, Options::default())?;
        let input = input(vec![1, 9, 30, 4]);
        let encoded = input.encode()?;
        let whole = engine.start(&input)?.finish_at(None);
        let cut = engine.start(&input)?.finish_at(Some(2));
        assert_eq!((whole.finish, cut.finish), (Finish::Length, Finish::Cancelled));
        for outcome in [&whole, &cut] {
            let honest = response(4, &outcome.tokens, outcome.finish);
            assert_eq!(right_digest(&engine, &encoded, &honest)?, outcome.digest);
            let changes: [fn(&mut InferenceResponse); 6] = [
                |r| r.promptTokens += 1,
                |r| r.outputTokens += 1,
                |r| r.outputTokens -= 1,
                |r| r.outputHash = output_hash(&[5]),
                |r| r.finish = if r.finish == 3 { 2 } else { 3 },
                |r| r.cancel = if r.cancel == B256::ZERO { B256::repeat_byte(3) } else { B256::ZERO },
            ];
            for (i, change) in changes.into_iter().enumerate() {
                let mut lie = honest.clone();
                change(&mut lie);
                let right = right_digest(&engine, &encoded, &lie)?;
                assert_eq!(right, misdescribed_digest(hash_of(&lie)), "change {i}");
            }
        }
        // More than there is: the output has ended before.
        let mut padded = whole.tokens.clone();
        padded.push(5);
        let lie = response(4, &padded, Finish::Length);
        assert_eq!(right_digest(&engine, &encoded, &lie)?, misdescribed_digest(hash_of(&lie)));
        // Nobody may answer what `f` refuses.
        let answer = response(1, &[5], Finish::Stop);
        let far = input_outside(&engine);
        for refused in [b"no input".to_vec(), far.encode()?] {
            let right = right_digest(&engine, &refused, &answer)?;
            assert_eq!(right, misdescribed_digest(hash_of(&answer)));
        }
        Ok(())
    }
}
