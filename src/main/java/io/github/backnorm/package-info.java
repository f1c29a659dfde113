/**
 * Batch-norm back-propagation: networks of affine, batch-norm and ReLU layers, trained and served on the JVM.
 *
 * <p>A {@link io.github.backnorm.Matrix} is an immutable value whose rows are samples. A {@link
 * io.github.backnorm.Layer} has {@code forward} and {@code backward} for training and {@code infer} for serving;
 * {@link io.github.backnorm.Affine}, {@link io.github.backnorm.BatchNorm} and {@link io.github.backnorm.ReLU} are
 * layers, and a {@link io.github.backnorm.Network} of layers is one. A {@link io.github.backnorm.Parameter} holds a
 * trainable value and its gradient. Around them, a {@link io.github.backnorm.Loss} gives the gradient that {@code
 * backward} starts from, an {@link io.github.backnorm.Optimizer} makes the step, and {@link
 * io.github.backnorm.GradientCheck} tests layers of your own. {@link io.github.backnorm.Safetensors} reads and writes
 * models as files, and {@link io.github.backnorm.PyTorch} converts networks to and from PyTorch's names and layout. A
 * {@link io.github.backnorm.Shard} trains on a batch that lies in blocks, on one machine or many; {@link
 * io.github.backnorm.Precision} says in which precision an affine layer multiplies.
 *
 * <p>Throughout, {@code dz} is short for ∂L/∂z, the gradient of the loss with respect to z. A null argument is
 * refused with a {@link java.lang.NullPointerException} that names it.
 *
 * @see <a href="https://github.com/backnorm/backnorm/blob/main/docs/guide.md">The guide</a>
 * @see <a href="https://github.com/backnorm/backnorm/blob/main/docs/derivation.md">The derivation</a>
 */
package io.github.backnorm;
