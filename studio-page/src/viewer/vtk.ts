// The parts of vtk.js that the projection uses, and no others.
import "@kitware/vtk.js/Rendering/OpenGL/Actor";
import "@kitware/vtk.js/Rendering/OpenGL/Camera";
import "@kitware/vtk.js/Rendering/OpenGL/PolyDataMapper";
import "@kitware/vtk.js/Rendering/OpenGL/Renderer";
import "@kitware/vtk.js/Rendering/OpenGL/Volume";
import "@kitware/vtk.js/Rendering/OpenGL/VolumeMapper";

export { default as vtkDataArray } from "@kitware/vtk.js/Common/Core/DataArray";
export { default as vtkImageData } from "@kitware/vtk.js/Common/DataModel/ImageData";
export { default as vtkPiecewiseFunction } from "@kitware/vtk.js/Common/DataModel/PiecewiseFunction";
export { default as vtkPolyData } from "@kitware/vtk.js/Common/DataModel/PolyData";
export { default as vtkInteractorStyleTrackballCamera } from "@kitware/vtk.js/Interaction/Style/InteractorStyleTrackballCamera";
export { default as vtkActor } from "@kitware/vtk.js/Rendering/Core/Actor";
export { default as vtkColorTransferFunction } from "@kitware/vtk.js/Rendering/Core/ColorTransferFunction";
export { default as vtkMapper } from "@kitware/vtk.js/Rendering/Core/Mapper";
export { default as vtkRenderer } from "@kitware/vtk.js/Rendering/Core/Renderer";
export { default as vtkRenderWindow } from "@kitware/vtk.js/Rendering/Core/RenderWindow";
export { default as vtkRenderWindowInteractor } from "@kitware/vtk.js/Rendering/Core/RenderWindowInteractor";
export { default as vtkVolume } from "@kitware/vtk.js/Rendering/Core/Volume";
export { default as vtkVolumeMapper } from "@kitware/vtk.js/Rendering/Core/VolumeMapper";
export { default as vtkOpenGLRenderWindow } from "@kitware/vtk.js/Rendering/OpenGL/RenderWindow";
